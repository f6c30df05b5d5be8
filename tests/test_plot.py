"""Pictures: what is drawn, where, and from which numbers."""

import builtins
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn import model_selection as sk
from sklearn.linear_model import Ridge as SklearnRidge

from dask_gd import (
    ElasticNetCV,
    GDClassifier,
    GDRegressor,
    LassoCV,
    LogisticRegression,
    Ridge,
    SGDClassifier,
    enet_path,
    lasso_path,
)
from dask_gd.model_selection import GridSearchCV, LogisticRegressionCV, RandomizedSearchCV
from dask_gd.plot import (
    geometric,
    plot_cv_errors,
    plot_grid,
    plot_history,
    plot_path,
    plot_validation_curve,
)

matplotlib = pytest.importorskip("matplotlib")

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(5)
X = RNG.normal(size=(300, 9))
MARGIN = X @ [3.0, -2.0, 1.5, 1.0, -0.5, 0.2, 0.1, 0.05, 0.0]
NUMBERS = MARGIN + RNG.normal(size=300)
LABELS = (MARGIN + RNG.logistic(size=300) > 0).astype(int)
ETAS = [0.001, 0.01, 0.1, 1.0]


@pytest.fixture(autouse=True)
def agg():
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"backend": "Agg"}):
        plt.switch_backend("Agg")
        yield
        plt.close("all")


def line(ax, label):
    """The line whose label starts so."""
    (found,) = [line for line in ax.get_lines() if line.get_label().startswith(label)]
    return found


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def descent(**parameters):
    return GDClassifier(learning_rate="constant", max_iter=5, tol=None, **parameters)


# -- validation curves -----------------------------------------------------------------------------------------------


def test_a_validation_curve():
    search = GridSearchCV(descent(), {"eta0": ETAS}, cv=3, return_train_score=True).fit(X, LABELS)
    ax = plot_validation_curve(search)
    results = search.cv_results_
    for part, label in (("test", "held-out rows"), ("train", "training rows")):
        drawn = line(ax, label)
        np.testing.assert_array_equal(drawn.get_xdata(), ETAS)
        np.testing.assert_array_equal(drawn.get_ydata(), results[f"mean_{part}_score"])
    train, test = ax.collections
    for band, part in ((test, "test"), (train, "train")):
        (path,) = band.get_paths()
        mean, spread = results[f"mean_{part}_score"], results[f"std_{part}_score"]
        assert path.vertices[:, 1].max() == pytest.approx((mean + spread).max())
        assert path.vertices[:, 1].min() == pytest.approx((mean - spread).min())
    best = line(ax, "best")
    assert best.get_xdata() == [search.best_params_["eta0"]]
    assert best.get_ydata() == [search.best_score_]
    assert ax.get_xscale() == "log"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eta0", "accuracy, mean of 3 folds")
    assert ax.get_title() == "GDClassifier along eta0"


def test_where_others_vary_too_the_best_of_them_is_shown():
    search = GridSearchCV(Ridge(), {"alpha": [3.0, 1.0, 2.0], "fit_intercept": [True, False]}, cv=2, scoring="r2")
    search.fit(X, NUMBERS + 5)
    ax = plot_validation_curve(search, "alpha")
    scores = search.cv_results_["mean_test_score"].reshape(3, 2)
    drawn = line(ax, "held-out rows")
    np.testing.assert_array_equal(drawn.get_xdata(), [1.0, 2.0, 3.0])  # in order
    np.testing.assert_array_equal(drawn.get_ydata(), scores.max(axis=1)[[1, 2, 0]])
    assert ax.get_xscale() == "linear"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("alpha (others at their best)", "r2, mean of 2 folds")
    with pytest.raises(ValueError, match=r"param must be named where .* but these: alpha, fit_intercept"):
        plot_validation_curve(search)
    with pytest.raises(ValueError, match="No candidate has the parameters beta; they have: alpha, fit_intercept"):
        plot_validation_curve(search, "beta")


def test_names_lie_side_by_side():
    search = GridSearchCV(GDClassifier(max_iter=5), {"loss": ["squared_hinge", "log_loss"]}, cv=2).fit(X, LABELS)
    ax = plot_validation_curve(search)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["squared_hinge", "log_loss"]
    (bars,) = ax.containers
    np.testing.assert_array_equal(bars[0].get_ydata(), search.cv_results_["mean_test_score"])


def test_candidates_that_diverged_do_not_flatten_the_others():
    search = GridSearchCV(GDRegressor(learning_rate="constant", max_iter=40), {"eta0": [0.01, 0.03, 0.1, 100.0]}, cv=2)
    search.fit(X, NUMBERS)
    means = search.cv_results_["mean_test_score"]
    assert means[3] < -100
    ax = plot_validation_curve(search)
    np.testing.assert_array_equal(line(ax, "held-out rows").get_ydata(), [*means[:3], np.nan])
    assert line(ax, "failed, or far below").get_xdata() == [100.0]
    assert ax.get_ylim()[0] > -5
    two = GridSearchCV(search.estimator, {**search.param_grid, "alpha": [0.1, 1.0]}, cv=2).fit(X, NUMBERS)
    ax = plot_grid(two, "eta0", "alpha")
    (image,) = ax.get_images()
    assert image.norm.vmin > -5
    assert image.colorbar.extend == "min"
    assert len(ax.texts) == 6


def test_nothing_that_succeeded():
    search = SimpleNamespace(
        cv_results_={"params": [{"a": 1.0}, {"a": 2.0}], "mean_test_score": [np.nan, np.nan], "std_test_score": [0, 0]},
        estimator=Ridge(),
        scoring=None,
    )
    assert "failed, or far below" in legend(plot_validation_curve(search))


def test_of_several_scores_the_one_of_refit():
    scoring = {"balance": "balanced_accuracy", "plain": "accuracy"}
    search = GridSearchCV(descent(), {"eta0": ETAS}, scoring=scoring, refit="plain", cv=2).fit(X, LABELS)
    ax = plot_validation_curve(search)
    np.testing.assert_array_equal(line(ax, "held-out").get_ydata(), search.cv_results_["mean_test_plain"])
    assert ax.get_ylabel() == "plain, mean of 2 folds"
    ax = plot_validation_curve(search, metric="balance")
    np.testing.assert_array_equal(line(ax, "held-out").get_ydata(), search.cv_results_["mean_test_balance"])
    with pytest.raises(ValueError, match=r"metric must be one of balance, plain. Got 'bright' instead"):
        plot_validation_curve(search, metric="bright")


def test_searches_of_scikit_learn_and_given_axes():
    import matplotlib.pyplot as plt

    search = sk.GridSearchCV(SklearnRidge(), {"alpha": [1.0, 10.0, 100.0]}).fit(X, NUMBERS)
    _, given = plt.subplots()
    assert plot_validation_curve(search, ax=given) is given
    assert given.get_xscale() == "log"
    with pytest.raises(ValueError, match="GridSearchCV has no cv_results_: fit a search first"):
        plot_validation_curve(sk.GridSearchCV(SklearnRidge(), {"alpha": [1.0]}))


def test_of_candidates_judged_several_times_the_last_counts():
    params = [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 2}]
    search = SimpleNamespace(
        cv_results_={"params": params, "test_score": [0.1, 0.9, 0.3, 0.6]}, estimator=Ridge(), scoring=None
    )
    ax = plot_validation_curve(search)
    np.testing.assert_array_equal(line(ax, "held-out").get_ydata(), [0.1, 0.6, 0.3])
    assert ax.get_ylabel() == "score"
    assert not ax.collections  # no folds, no spread


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], False),
        ([1, 10, 100], True),
        ([0.0, 0.1, 1.0], False),
        ([-1, 10, 100], False),
        ([1, 2], False),
        ([1, 10], True),
        ([5], False),
        ([0.01, 0.03, 0.1, 0.3], True),
        ([100, 1, 10, 10], True),
    ],
)
def test_geometric(values, expected):
    assert geometric(np.array(values, dtype=float)) is expected


# -- heat maps -------------------------------------------------------------------------------------------------------


def test_a_heat_map():
    search = GridSearchCV(descent(), {"alpha": [1e-3, 1e-1, 10.0], "eta0": ETAS}, cv=2).fit(X, LABELS)
    ax = plot_grid(search, "eta0", "alpha")
    scores = search.cv_results_["mean_test_score"].reshape(3, 4)
    (image,) = ax.get_images()
    np.testing.assert_array_equal(image.get_array(), scores)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.001", "0.01", "0.1", "1"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0.001", "0.1", "10"]
    assert sorted(text.get_text() for text in ax.texts) == sorted(f"{score:.3g}" for score in scores.ravel())
    (frame,) = ax.patches
    row, column = np.unravel_index(search.best_index_, scores.shape)
    assert frame.get_xy() == (column - 0.5, row - 0.5)
    assert image.colorbar.ax.get_ylabel() == "accuracy, mean of 2 folds"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("eta0", "alpha")


def test_cells_that_were_not_tried_are_empty():
    grids = [{"eta0": [0.01, 0.1], "alpha": [1.0]}, {"eta0": [0.1], "alpha": [2.0]}]
    search = GridSearchCV(descent(), grids, cv=2).fit(X, LABELS)
    (image,) = plot_grid(search, "eta0", "alpha").get_images()
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), [[False, False], [True, False]])


def test_random_candidates_are_points():
    distributions = {"eta0": loguniform(1e-3, 1), "alpha": loguniform(1e-5, 1)}
    search = RandomizedSearchCV(descent(), distributions, n_iter=12, cv=2, random_state=0).fit(X, LABELS)
    ax = plot_grid(search, "eta0", "alpha")
    (points,) = ax.collections
    expected = [[params["eta0"], params["alpha"]] for params in search.cv_results_["params"]]
    np.testing.assert_array_equal(points.get_offsets(), expected)
    np.testing.assert_array_equal(points.get_array(), search.cv_results_["mean_test_score"])
    (ring,) = ax.get_lines()
    assert ring.get_xdata() == [search.best_params_["eta0"]]


# -- paths -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [lasso_path, enet_path])
def test_coefficients_of_a_path(path):
    alphas, coefs, gaps = path(X, NUMBERS, alphas=20)
    ax = plot_path((alphas, coefs, gaps))
    lines = [drawn for drawn in ax.get_lines() if len(drawn.get_xdata()) == 20]
    assert len(lines) == 9
    for drawn in lines:
        assert any(np.array_equal(drawn.get_ydata(), row) for row in coefs)
    largest = np.argsort(-np.abs(coefs[:, -1]))[:7]
    assert legend(ax) == [f"column {j}" for j in sorted(largest, key=lambda j: -coefs[j, -1])]  # as the lines end
    np.testing.assert_array_equal(line(ax, "column 1").get_ydata(), coefs[1])
    assert ax.get_xscale() == "log"
    assert ax.xaxis_inverted()
    assert legend(plot_path((alphas, coefs), names=list("abcdefghi")))[0] == "a"
    with pytest.raises(ValueError, match=r"names must hold one for each of the 9 columns. Got 2 instead"):
        plot_path((alphas, coefs), names=["a", "b"])


def test_coefficients_of_logistic_regression():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdefghi"))
    model = LogisticRegressionCV(Cs=4, cv=2, l1_ratios=(0.0, 0.5)).fit(frame, LABELS)
    ax = plot_path(model)
    ratio = model.l1_ratios_.tolist().index(model.l1_ratio_)
    expected = model.coefs_paths_[:, ratio, :, 0, 0].mean(axis=0)
    np.testing.assert_allclose(line(ax, "a").get_ydata(), expected)
    assert line(ax, "chosen").get_xdata() == [model.C_, model.C_]
    assert not ax.xaxis_inverted()
    three = LogisticRegressionCV(Cs=2, cv=2).fit(X, np.digitize(MARGIN, [-1, 1]))
    ax = plot_path(three)
    expected = np.linalg.norm(three.coefs_paths_[:, 0, :, :, 0], axis=2).mean(axis=0)
    np.testing.assert_allclose(line(ax, "column 0").get_ydata(), expected)
    assert "norm" in ax.get_ylabel()


def test_models_without_a_path():
    for model in (LassoCV().fit(X, NUMBERS), Ridge()):
        with pytest.raises(ValueError, match=f"{type(model).__name__} keeps no coefficients of a path: use plot_path"):
            plot_path(model)
    with pytest.raises(ValueError, match="Ridge has no errors along a path"):
        plot_cv_errors(Ridge())


def test_errors_of_every_fold():
    model = LassoCV(alphas=15, cv=4).fit(X, NUMBERS)
    ax = plot_cv_errors(model)
    folds = [drawn for drawn in ax.get_lines() if drawn.get_linewidth() < 1]
    np.testing.assert_array_equal([drawn.get_ydata() for drawn in folds], model.mse_path_.T)
    np.testing.assert_allclose(line(ax, "mean").get_ydata(), model.mse_path_.mean(axis=1))
    np.testing.assert_array_equal(line(ax, "mean").get_xdata(), model.alphas_)
    assert line(ax, "chosen").get_xdata() == [model.alpha_] * 2
    assert legend(ax)[0] == "4 folds"


def test_errors_of_several_mixtures():
    model = ElasticNetCV(alphas=8, l1_ratio=[0.2, 0.9], cv=3).fit(X, NUMBERS)
    ax = plot_cv_errors(model)
    assert sum(drawn.get_linewidth() < 1 for drawn in ax.get_lines()) == 3
    for i, ratio in enumerate((0.2, 0.9)):
        drawn = line(ax, f"mean, l1_ratio={ratio}")
        np.testing.assert_allclose(drawn.get_ydata(), model.mse_path_[i].mean(axis=1))
        np.testing.assert_array_equal(drawn.get_xdata(), model.alphas_[i])
    classifier = LogisticRegressionCV(Cs=5, cv=3, scoring="neg_log_loss").fit(X, LABELS)
    ax = plot_cv_errors(classifier)
    np.testing.assert_allclose(line(ax, "mean").get_ydata(), classifier.scores_[:, 0].mean(axis=0))
    assert ax.get_ylabel() == "held-out neg_log_loss"
    assert not ax.xaxis_inverted()


# -- fits ------------------------------------------------------------------------------------------------------------


def test_the_history_of_a_fit():
    model = LogisticRegression(solver="lbfgs").fit(X, LABELS)
    ax = model.plot_history()
    np.testing.assert_array_equal(line(ax, "objective").get_ydata(), model.history_["objective"])
    np.testing.assert_array_equal(line(ax, "objective").get_xdata(), np.arange(1, model.n_iter_ + 1))
    _, right = ax.figure.axes
    np.testing.assert_array_equal(line(right, "gradient norm").get_ydata(), model.history_["grad_norm"])
    assert right.get_yscale() == "log"
    assert ax.get_xlabel() == "iteration"


def test_the_history_of_epochs_has_no_gradient():
    model = SGDClassifier(random_state=0, max_iter=3, tol=None).fit(X, LABELS)
    ax = plot_history(model)
    assert ax.get_xlabel() == "epoch"
    assert ax.figure.axes == [ax]
    assert model.plot_history(ax) is ax


def test_no_history():
    for model in (Ridge(), LassoCV().fit(X, NUMBERS)):
        with pytest.raises(
            ValueError, match=f"{type(model).__name__} has no history: it is not fitted, or its fit has"
        ):
            model.plot_history()


def test_without_matplotlib(monkeypatch):
    search = GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    path = lasso_path(X, NUMBERS, alphas=3)
    lasso, logistic = LassoCV(alphas=3).fit(X, NUMBERS), LogisticRegression().fit(X, LABELS)
    imported = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for plot, given in (
        (plot_validation_curve, (search,)),
        (plot_grid, (search, "eta0", "eta0")),
        (plot_path, (path,)),
        (plot_cv_errors, (lasso,)),
        (plot_history, (logistic,)),
    ):
        with pytest.raises(ImportError, match=rf"{plot.__name__} needs Matplotlib: pip install 'dask-gd\[plot\]'"):
            plot(*given)
