"""Pictures of searches, paths and fits; they need Matplotlib, the extra ``plot``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .protocol import Array

__all__ = ["plot_cv_errors", "plot_grid", "plot_history", "plot_path", "plot_validation_curve"]

# Okabe & Ito's colours, which all eyes tell apart
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, "black")
GREY = "0.75"
WRITTEN = 10  # values along an axis of a heat map up to which each cell has its score written into it
CUT = 10.0  # scores so many times farther from the best than the better ones are would flatten all others


def plot_validation_curve(search: Any, param: str | None = None, ax: Any = None, *, metric: str | None = None) -> Any:
    """The scores of a search along one parameter: mean over the folds, and a band of one standard deviation.

    Where other parameters vary too, each value is shown with the best of them. Scores on the training rows are shown
    where the search has them (``return_train_score=True``); a candidate that diverged is a triangle on the lower edge.

    Parameters
    ----------
    search : fitted search
        Of this package or of scikit-learn: anything with ``cv_results_``.
    param : str, optional
        By default the only one that varies.
    ax : matplotlib.axes.Axes, optional
        By default those of a new figure.
    metric : str, optional
        Which of several scores; by default the one of ``refit``, or the first.

    Returns
    -------
    matplotlib.axes.Axes
    """
    table = _table(search, metric)
    varied = table.varied()
    if param is None and len(varied) != 1:
        raise ValueError(
            f"param must be named where not one parameter varies, but these: {', '.join(varied) or 'none'}."
        )
    param = varied[0] if param is None else param
    combinations, best = table.grouped([param])
    axis = _Axis.of([values[0] for values in combinations])
    order = np.argsort(axis.positions, kind="stable")
    rows, x = np.array(best)[order], axis.positions[order]
    ax = _axes("plot_validation_curve", ax)
    shown = table.test[rows] >= _range(table.test[rows])[0]
    draw = _bars if axis.scale == "names" else _band
    if table.train is not None:
        train = np.where(shown, table.train[rows], np.nan)
        draw(ax, x, train, table.train_spread[rows], VERMILION, "training rows ± 1 sd", "s--")
    draw(ax, x, np.where(shown, table.test[rows], np.nan), table.spread[rows], BLUE, "held-out rows ± 1 sd", "o-")
    if not shown.all():
        at = {"transform": ax.get_xaxis_transform(), "clip_on": False}
        ax.plot(x[~shown], np.full((~shown).sum(), 0.02), "v", c="black", label="failed, or far below", **at)
    top = int(np.argmax([table.rank(row) for row in rows]))
    if np.isfinite(table.test[rows[top]]):
        label = f"best: {table.test[rows[top]]:.4g} at {_written(axis.values[order[top]])}"
        ax.plot(x[top], table.test[rows[top]], "o", ms=11, mfc="none", mec="black", label=label)
    axis.show(ax.xaxis, ax.set_xscale)
    several = " (others at their best)" if len(varied) > 1 else ""
    ax.set(xlabel=f"{param}{several}", ylabel=table.label, title=f"{table.name} along {param}")
    ax.legend(frameon=False)
    return _tidy(ax)


def plot_grid(search: Any, x: str, y: str, ax: Any = None, *, metric: str | None = None) -> Any:
    """The mean scores of a search over two parameters, as a heat map; of random candidates as points.

    Where other parameters vary too, each cell is shown with the best of them. The best cell has a frame; a cell is grey
    where no candidate was tried, and where one failed or scored far below all others.

    Parameters
    ----------
    search : fitted search
        Anything with ``cv_results_``.
    x, y : str
        The parameters along the axes.
    ax : matplotlib.axes.Axes, optional
        By default those of a new figure.
    metric : str, optional
        Which of several scores; by default the one of ``refit``, or the first.

    Returns
    -------
    matplotlib.axes.Axes
    """
    table = _table(search, metric)
    combinations, best = table.grouped([x, y])
    columns, rows = (_Axis.of(list(values)) for values in zip(*combinations, strict=True))
    scores = table.test[best]
    lowest, highest, cut = _range(scores)
    ax = _axes("plot_grid", ax)
    import matplotlib as mpl
    from matplotlib.patches import Rectangle

    colours = mpl.colormaps["viridis"].with_extremes(under=GREY, bad=GREY)
    shades = {"cmap": colours, "vmin": lowest, "vmax": highest}
    top = int(np.argmax([table.rank(row) for row in best]))
    across, up = columns.ranks(), rows.ranks()
    if len(columns) * len(rows) <= 2 * len(best):
        cells = np.full((len(rows), len(columns)), np.nan)
        cells[up, across] = scores
        shown = ax.imshow(np.ma.masked_invalid(cells), origin="lower", aspect="auto", **shades)
        if max(cells.shape) <= WRITTEN:
            for i, j, score in zip(up, across, scores, strict=True):
                if score >= lowest:
                    dark = (score - lowest) / max(highest - lowest, np.finfo(float).tiny) < 0.6
                    ax.text(
                        j, i, f"{score:.3g}", ha="center", va="center", c="white" if dark else "black", size="small"
                    )
        columns.name_cells(ax.xaxis)
        rows.name_cells(ax.yaxis)
        if np.isfinite(scores[top]):
            corner = across[top] - 0.5, up[top] - 0.5
            ax.add_patch(Rectangle(corner, 1, 1, fill=False, ec=VERMILION, lw=3))
    else:
        shown = ax.scatter(
            columns.positions, rows.positions, c=scores, s=70, edgecolors="white", plotnonfinite=True, **shades
        )
        columns.show(ax.xaxis, ax.set_xscale)
        rows.show(ax.yaxis, ax.set_yscale)
        if np.isfinite(scores[top]):
            ax.plot(columns.positions[top], rows.positions[top], "o", ms=14, mfc="none", mec=VERMILION, mew=2)
    ax.figure.colorbar(shown, ax=ax, label=table.label, extend="min" if cut else "neither")
    several = " (others at their best)" if len(table.varied()) > 2 else ""
    ax.set(xlabel=x, ylabel=y, title=f"{table.name} over {x} and {y}{several}")
    return ax


def plot_path(model: Any, ax: Any = None, *, names: Sequence[str] | None = None) -> Any:
    """Coefficients along a path of penalties, from the strongest at the left to the weakest.

    The largest coefficients at the end of the path have a colour and a name.

    Parameters
    ----------
    model : tuple or LogisticRegressionCV
        (alphas, coefs, ...) as ``lasso_path`` and ``enet_path`` return them, or a fitted model with ``coefs_paths_``,
        of which the means over the folds are shown; of more than two classes the norm of each column's coefficients.
    ax : matplotlib.axes.Axes, optional
        By default those of a new figure.
    names : sequence of str, optional
        Of the columns; by default the model's ``feature_names_in_``, or their numbers.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if hasattr(model, "coefs_paths_"):
        strengths, coefs, chosen = model.Cs_, _mean_path(model), model.C_
        x_label, y_label, title = "C", "coefficient, mean over the folds", f"{type(model).__name__}: coefficients"
        if model.coefs_paths_.shape[-2] > 1:
            y_label = "norm of a column's coefficients, mean over the folds"
    elif isinstance(model, tuple) and len(model) >= 2 and np.ndim(model[1]) == 2:
        strengths, coefs, chosen = np.asarray(model[0]), np.asarray(model[1]), None
        x_label, y_label, title = "alpha", "coefficient", "Coefficients along the path"
    else:
        raise ValueError(
            f"{type(model).__name__} keeps no coefficients of a path: use plot_path(lasso_path(X, y)) or enet_path, or "
            "a fitted LogisticRegressionCV; plot_cv_errors shows the errors of LassoCV and ElasticNetCV."
        )
    if names is None:
        names = getattr(model, "feature_names_in_", [f"column {j}" for j in range(len(coefs))])
    if len(names) != len(coefs):
        raise ValueError(f"names must hold one for each of the {len(coefs)} columns. Got {len(names)} instead.")
    ax = _axes("plot_path", ax)
    weakest = int(np.argmin(strengths) if x_label == "alpha" else np.argmax(strengths))
    size = np.abs(coefs[:, weakest])
    named = [j for j in np.argsort(-size, kind="stable")[: len(COLOURS)] if size[j] > 0]
    for j in range(len(coefs)):
        if j not in named:
            ax.plot(strengths, coefs[j], c=GREY, lw=0.8, zorder=1)
    colours = dict(zip(named, COLOURS, strict=False))
    for j in sorted(named, key=lambda j: -coefs[j, weakest]):  # the legend has the order of the lines at their end
        ax.plot(strengths, coefs[j], c=colours[j], lw=1.8, label=str(names[j]))
    ax.axhline(0.0, c="black", lw=0.6)
    if chosen is not None:
        ax.axvline(chosen, c="black", ls=":", label=f"chosen: {_written(chosen)}")
    _strengths(ax, strengths, x_label)
    ax.set(ylabel=y_label, title=title)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _tidy(ax)


def plot_cv_errors(model: Any, ax: Any = None) -> Any:
    """Held-out errors or scores along the penalties of a cross-validated model: every fold, and their mean.

    Of several ``l1_ratio`` each has its mean, and the best one its folds.

    Parameters
    ----------
    model : LassoCV, ElasticNetCV or LogisticRegressionCV
        Fitted.
    ax : matplotlib.axes.Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if hasattr(model, "mse_path_"):
        errors = model.mse_path_ if model.mse_path_.ndim == 3 else model.mse_path_[None]  # (ratios, alphas, folds)
        strengths = np.broadcast_to(model.alphas_, errors.shape[:2])
        ratios, ratio = np.atleast_1d(getattr(model, "l1_ratio", 1.0)), getattr(model, "l1_ratio_", 1.0)
        x_label, y_label, chosen = "alpha", "held-out mean squared error (units of y²)", model.alpha_
    elif hasattr(model, "scores_"):
        errors = np.moveaxis(model.scores_, 0, -1)
        strengths = np.broadcast_to(model.Cs_, errors.shape[:2])
        ratios, ratio, chosen = model.l1_ratios_, model.l1_ratio_, model.C_
        x_label, y_label = "C", f"held-out {_scoring(model.scoring or 'accuracy')}"
    else:
        raise ValueError(
            f"{type(model).__name__} has no errors along a path: use a fitted LassoCV, ElasticNetCV or "
            "LogisticRegressionCV."
        )
    ax = _axes("plot_cv_errors", ax)
    best = int(np.argmin(np.abs(np.asarray(ratios, dtype=float) - ratio)))
    n_folds = errors.shape[2]
    for fold in range(n_folds):
        label = f"{n_folds} folds" if fold == 0 else None
        ax.plot(strengths[best], errors[best, :, fold], c=GREY, lw=0.8, label=label, zorder=1)
    means = errors.mean(axis=2)
    others = [i for i in range(len(means)) if i != best]
    for i, colour in zip(others, (COLOURS[1:] * len(others))[: len(others)], strict=True):
        ax.plot(strengths[i], means[i], c=colour, ls="--", lw=1.4, label=f"mean, l1_ratio={_written(ratios[i])}")
    ratio_label = f", l1_ratio={_written(ratios[best])}" if others else ""
    ax.plot(strengths[best], means[best], c=BLUE, lw=2.2, label=f"mean{ratio_label}")
    ax.axvline(chosen, c="black", ls=":", label=f"chosen: {_written(chosen)}")
    _strengths(ax, strengths, x_label)
    ax.set(ylabel=y_label, title=f"{type(model).__name__}: errors of cross-validation")
    if x_label == "C":
        ax.set_title(f"{type(model).__name__}: scores of cross-validation")
    ax.legend(frameon=False)
    return _tidy(ax)


def plot_history(model: Any, ax: Any = None) -> Any:
    """The objective of a fit after every iteration, and on an axis at the right the gradient norm that ``tol`` is
    compared with.

    Parameters
    ----------
    model : fitted estimator
        With ``history_``.
    ax : matplotlib.axes.Axes, optional
        By default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Of the objective.
    """
    history = getattr(model, "history_", None)
    if history is None:
        raise ValueError(f"{type(model).__name__} has no history: it is not fitted, or its fit has no iterations.")
    ax = _axes("plot_history", ax)
    objective, norm = np.asarray(history["objective"]), np.asarray(history["grad_norm"])
    iterations = np.arange(1, len(objective) + 1)
    marker = "o" if len(iterations) <= 30 else ""
    ax.plot(iterations, objective, c=BLUE, marker=marker, label="objective")
    ax.set(
        xlabel="epoch" if hasattr(model, "t_") else "iteration",
        ylabel="objective (mean loss and penalty)",
        title=f"{type(model).__name__}: the fit",
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.yaxis.label.set_color(BLUE)
    _tidy(ax)
    positive = np.isfinite(norm) & (norm > 0)
    if positive.any():
        right = ax.twinx()
        right.plot(
            iterations[positive], norm[positive], c=VERMILION, ls="--", marker=marker and "s", label="gradient norm"
        )
        right.set_yscale("log")
        right.set_ylabel("gradient norm (relative)")
        right.yaxis.label.set_color(VERMILION)
        right.spines[["top"]].set_visible(False)
    return ax


# -- what a search found ---------------------------------------------------------------------------------------------


class _Table(NamedTuple):
    """The candidates of a search and one of its scores."""

    params: list[dict[str, Any]]
    test: Array
    spread: Array
    train: Array | None
    train_spread: Array
    label: str  # of the score
    name: str  # of the estimator

    def varied(self) -> list[str]:
        """Names of the parameters that take several values."""
        names = dict.fromkeys(name for params in self.params for name in params)
        return [name for name in names if len({repr(params.get(name)) for params in self.params}) > 1]

    def grouped(self, names: Sequence[str]) -> tuple[list[tuple[Any, ...]], list[int]]:
        """Each combination of values of some parameters, and the best of its candidates."""
        values: dict[str, tuple[Any, ...]] = {}
        best: dict[str, int] = {}
        for i, params in enumerate(self.params):
            if all(name in params for name in names):
                own = tuple(params[name] for name in names)
                values.setdefault(repr(own), own)
                best[repr(own)] = max(best.get(repr(own), i), i, key=self.rank)
        if not values:
            known = ", ".join(dict.fromkeys(name for params in self.params for name in params))
            raise ValueError(f"No candidate has the parameters {', '.join(names)}; they have: {known}.")
        return list(values.values()), list(best.values())

    def rank(self, row: int) -> float:
        """The score, below all others where there is none."""
        return float(self.test[row]) if np.isfinite(self.test[row]) else -np.inf


def _table(search: Any, metric: str | None) -> _Table:
    results = getattr(search, "cv_results_", None)
    if not isinstance(results, dict) or "params" not in results:
        raise ValueError(f"{type(search).__name__} has no cv_results_: fit a search first.")
    known = [key.removeprefix("mean_test_") for key in results if key.startswith("mean_test_")]
    refit = getattr(search, "refit", None)
    wanted = metric or (refit if isinstance(refit, str) and refit in known else known[0] if known else "score")
    prefix = "mean_" if f"mean_test_{wanted}" in results else ""
    if f"{prefix}test_{wanted}" not in results:
        raise ValueError(f"metric must be one of {', '.join(known)}. Got {metric!r} instead.")
    # where a candidate was judged several times, with more data or iterations each time, the last counts
    rows = list({repr(params): i for i, params in enumerate(results["params"])}.values())

    def column(kind: str, part: str) -> Array | None:
        values = results.get(f"{kind}_{part}_{wanted}" if kind else f"{part}_{wanted}")
        return None if values is None else np.asarray(values, dtype=float)[rows]

    test = column(prefix.rstrip("_"), "test")
    assert test is not None
    train, nothing = column("mean", "train"), np.zeros(len(rows))
    spread, train_spread = column("std", "test"), column("std", "train")
    name = wanted
    if wanted == "score":
        tags = search.estimator.__sklearn_tags__()
        name = (
            "accuracy" if search.scoring is None and tags.estimator_type == "classifier" else _scoring(search.scoring)
        )
    n_folds = getattr(search, "n_splits_", 1)
    return _Table(
        [results["params"][i] for i in rows],
        test,
        nothing if spread is None else spread,
        train,
        nothing if train_spread is None else train_spread,
        f"{name}, mean of {n_folds} folds" if n_folds > 1 else name,
        type(search.estimator).__name__,
    )


def _scoring(scoring: Any) -> str:
    """The name of a score."""
    return scoring if isinstance(scoring, str) else str(getattr(scoring, "name", "score"))


class _Axis(NamedTuple):
    """Values of a parameter, and where they are on an axis."""

    values: list[Any]
    positions: Array
    scale: str  # "linear", "log" or "names"

    @classmethod
    def of(cls, values: list[Any]) -> _Axis:
        """An axis of numbers where all are, else of names in the order in which they come."""
        numbers = [isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values]
        if all(numbers):
            positions = np.array(values, dtype=float)
            return cls(values, positions, "log" if geometric(positions) else "linear")
        names = {text: i for i, text in enumerate(dict.fromkeys(_written(value) for value in values))}
        return cls(values, np.array([names[_written(value)] for value in values], dtype=float), "names")

    def __len__(self) -> int:
        return len(np.unique(self.positions))

    def ranks(self) -> Array:
        """The number of each value among the different ones."""
        return np.unique(self.positions, return_inverse=True)[1]

    def show(self, axis: Any, set_scale: Callable[[str], None]) -> None:
        """Scale and labels of an axis along which the values lie."""
        if self.scale == "names":
            self.name_cells(axis)
        else:
            set_scale(self.scale)

    def name_cells(self, axis: Any) -> None:
        """A label for every different value, at 0, 1, 2, ..."""
        first = np.unique(self.positions, return_index=True)[1]
        labels = [_written(self.values[i]) for i in first]
        axis.set_ticks(range(len(labels)), labels)
        if axis.axis_name == "x" and sum(len(label) + 2 for label in labels) > 60:
            axis.set_tick_params(rotation=45)


def geometric(values: Array) -> bool:
    """Whether positive numbers are spaced more evenly on a logarithmic axis."""
    values = np.unique(values)
    if len(values) < 2 or values[0] <= 0:
        return False
    if len(values) == 2:
        return bool(values[1] >= 10 * values[0])
    steps, ratios = np.diff(values), np.diff(np.log(values))
    return bool(ratios.std() / ratios.mean() < steps.std() / steps.mean())


def _written(value: Any) -> str:
    number = isinstance(value, (float, np.floating))
    return f"{value:.3g}" if number else str(value)


# -- drawing ---------------------------------------------------------------------------------------------------------


def _axes(name: str, ax: Any) -> Any:
    """The axes to draw on."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{name} needs Matplotlib: pip install 'dask-gd[plot]'.") from error
    return plt.subplots(figsize=(7, 4.5), layout="constrained")[1] if ax is None else ax


def _tidy(ax: Any) -> Any:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25)
    ax.set_axisbelow(True)
    return ax


def _band(ax: Any, x: Array, mean: Array, spread: Array, colour: str, label: str, style: str) -> None:
    """A line, and around it one standard deviation."""
    ax.plot(x, mean, style, c=colour, label=label)
    if spread.any():
        ax.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)


def _bars(ax: Any, x: Array, mean: Array, spread: Array, colour: str, label: str, style: str) -> None:
    """Points, and at each one standard deviation to both sides."""
    ax.errorbar(x, mean, spread, fmt=style[0], c=colour, capsize=4, label=label)
    ax.margins(x=0.2)


def _range(scores: Array) -> tuple[float, float, bool]:
    """The lowest and the highest score to show, and whether there are lower ones."""
    finite = np.sort(scores[np.isfinite(scores)])
    if not len(finite):
        return 0.0, 1.0, False
    best = float(finite[-1])
    width = max(best - float(np.quantile(finite, 0.75)), abs(best) / 2)
    inside = finite[finite >= best - CUT * width]
    return float(inside[0]), best, len(inside) < len(scores)


def _strengths(ax: Any, strengths: Array, name: str) -> None:
    """The axis of penalties: the weaker the farther to the right."""
    if geometric(np.ravel(strengths)):
        ax.set_xscale("log")
    if name == "alpha":
        ax.invert_xaxis()
    ax.set_xlabel(f"{name} (weaker penalty to the right)")


def _mean_path(model: Any) -> Array:
    """(d, n_cs) coefficients of LogisticRegressionCV at its l1_ratio, means over the folds."""
    ratio = int(np.argmin(np.abs(model.l1_ratios_ - model.l1_ratio_)))
    paths = model.coefs_paths_[:, ratio, :, :, : model.n_features_in_]  # (folds, Cs, classes, d)
    paths = paths[:, :, 0] if paths.shape[2] == 1 else np.linalg.norm(paths, axis=2)
    return np.asarray(paths.mean(axis=0).T)
