"""From an estimator's parameters and data to fitted numbers: the one path that every estimator's fit takes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from ..arrays import is_device_array, to_numpy
from ..callbacks import PrintReports, watching
from ..continuation import minimising_with_kinks, minimising_with_scale
from ..engine import device_block, is_dask, is_dask_frame, open_engine
from ..engine.blas import one_blas_thread
from ..exceptions import DataError, PerfectSeparationWarning
from ..expansion import correlation_condition
from ..fitting import Fit, minimising, run_job
from ..kernels import (
    First,
    FirstKernel,
    Moments,
    MomentsKernel,
    SampleKernel,
    SquaresKernel,
)
from ..losses import Loss
from ..objective import Landmark, Objective
from ..planner import Plan, check_solver, plan, warm_rows
from ..protocol import Array, Callback, Engine, Extent, Job, Pause, Replace, Result
from ..solvers import SOLVERS
from ..starts import start_from_sample, start_inside
from .labels import class_balance, labels_of
from .penalty import PenaltySpec
from .start import CONSTANT_MODEL, Start

# Curvature below this share of the largest is rounding of the Gram matrix, whose sums start in the precision of X.
LARGE = 2**20  # numbers in X from which the first sweep alone looks for NaN, and not a pass of its own before it
RANK_TOL = {np.dtype(np.float32): 1e-8, np.dtype(np.float64): 1e-15}
CONDITION_FEATURES = 1000  # up to here their condition number costs next to nothing
VALUE_ROUNDING = {np.dtype(np.float32): 1e-8, np.dtype(np.float64): 1e-13}  # of an objective, relative
SQUARES_RANK_TOL = {np.dtype(np.float32): 1e-13, np.dtype(np.float64): 1e-15}  # their sums are in float64


@dataclass(frozen=True)
class Problem:
    """What a fit needs besides the data; picklable, so that a whole fit can travel to the data.

    ``penalty`` maps the moments of the data to Ω of the mean form, ``loss`` the number of classes (of a classifier)
    or of targets to the loss.
    """

    penalty: PenaltySpec
    loss: Callable[[int], Loss]
    solver: str
    max_iter: int
    tol: float | str | None
    fit_intercept: bool = True
    targets: str = "numbers"  # what y is: "numbers", "columns" of numbers or "labels"
    class_weight: Any = None
    solver_options: tuple[tuple[str, Any], ...] = ()
    start: Start = CONSTANT_MODEL
    precompute: bool | str = "auto"  # whether a squared loss may answer from sums of products

    def plan(self, title: str, extent: Extent, loss: Loss, penalty: Any, condition: float | None = None) -> Plan:
        """What a fit to data of this extent would do; ``penalty`` may be its specification."""
        return plan(
            title,
            extent,
            loss,
            smooth=penalty.smooth,
            l1_only=penalty.l1_only,
            solver=self.solver,
            max_iter=self.max_iter,
            precompute=self.precompute,
            condition=condition,
        )


class Outcome(NamedTuple):
    """What a fit found out."""

    result: Result
    solver: str
    classes: Array | None
    n_constant: int  # columns left out of an unpenalised fit, because the intercept does all that they could do
    plan: Plan | None = None  # of solvers that "auto" may choose


class Neighbour(NamedTuple):
    """A fit to the same rows with another penalty."""

    minimum: Landmark
    start: bool  # whether others had better start there
    alone: bool = False  # the fit has its sweeps for itself, and may ask for Hessians of its own in them


def fit_model(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    problem: Any,
    *,
    solver: Any = None,
    first: bool = True,
) -> Outcome:
    """Validate the data, run the fit where the data are, set the attributes that every estimator has.

    A fit that fails leaves the estimator as it was. ``solver``: the fit itself, by default :func:`solve`; ``first``
    False: X must have the columns of the fit before.

    Raises
    ------
    ValueError
        Data that cannot be fitted, in scikit-learn's words where it has them (DataError names the block).
    FitInterrupted
        The cluster failed for good.
    """
    before = dict(estimator.__dict__)
    began = time.perf_counter()
    try:
        X, y, sample_weight, offset = check_data(estimator, X, y, sample_weight, offset, problem.targets, reset=first)
        callbacks = watching() + ((PrintReports(),) if estimator.verbose else ())
        with open_engine(X, y, sample_weight, offset, targets=problem.targets) as engine:
            job = partial(solver or solve, problem=problem, n_features=estimator.n_features_in_, callbacks=callbacks)
            outcome: Outcome = engine.run(job, interactive=bool(callbacks))
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise
    keep_outcome(estimator, outcome, time.perf_counter() - began)
    return outcome


def keep_outcome(estimator: Any, outcome: Outcome, seconds: float) -> None:
    """Set the attributes that every estimator has, and warn of a fit that did not converge."""
    result = outcome.result
    estimator.n_iter_ = result.n_iter
    estimator.n_sweeps_ = result.n_sweeps
    estimator.converged_ = result.converged
    estimator.history_ = result.history
    estimator.solver_ = outcome.solver
    if outcome.plan is not None:
        estimator.plan_ = outcome.plan._replace(
            title=type(estimator).__name__,
            actual_sweeps=result.n_sweeps,
            actual_seconds=seconds,
        )
    if outcome.classes is not None:
        estimator.classes_ = outcome.classes
    if outcome.n_constant:
        warnings.warn(
            f"{outcome.n_constant} of the columns of X are constant: beside an intercept nothing tells what they are "
            "worth, and their coefficients are 0.",
            UserWarning,
            stacklevel=5,
        )
    if not result.converged:
        warnings.warn(
            f"{type(estimator).__name__} with solver {outcome.solver!r} stopped after {result.n_iter} iterations: "
            f"{result.message}.",
            PerfectSeparationWarning if result.separated else ConvergenceWarning,
            stacklevel=5,
        )


def solve(engine: Engine, *, problem: Problem, n_features: int, callbacks: tuple[Callback, ...]) -> Outcome:
    """The fit itself, on any engine."""
    before = engine.n_sweeps
    # on a cluster the scheduler is asked for the extent: once
    outcome: Outcome = run_job(solving(problem, n_features, engine.extent, callbacks), engine)
    return outcome._replace(result=outcome.result._replace(n_sweeps=engine.n_sweeps - before))


def solving(problem: Problem, n_features: int, extent: Extent, callbacks: tuple[Callback, ...] = ()) -> Job:
    """First sweep, labels, and the fit: a job that returns the :class:`Outcome`."""
    first, labels = yield from looking([problem], n_features, extent)
    classes = None
    if labels is not None:
        moments, weights = class_balance(first.moments, labels.classes, problem.class_weight)
        labels = replace(labels, class_weight=weights)
        yield Replace(labels)
        first = first._replace(moments=moments, sample=None if first.sample is None else first.sample.encoded(labels))
        classes = labels.classes
    return (yield from fitting(problem, extent, first, classes, callbacks))


def looking(problems: Sequence[Problem], n_features: int, extent: Extent) -> Job:
    """The first sweep, for all that fits to the same data will want to know: a job that returns the :class:`First` and
    how labels become numbers (None: y are numbers)."""
    classification = problems[0].targets == "labels"
    losses = [problem.loss(2 if classification else 1) for problem in problems]
    guesses = [problem.plan("", extent, loss, problem.penalty) for problem, loss in zip(problems, losses, strict=True)]
    most = max(guesses, key=lambda plan: plan.sample_rows)
    most = most._replace(squares=any(plan.squares for plan in guesses))
    kernel = MomentsKernel(n_features, classification, None if classification else losses[0])
    first = yield from first_sweep(most, kernel)
    return first, labels_of(first.moments) if classification else None


def fitting(
    problem: Problem,
    extent: Extent,
    first: First,
    classes: Array | None,
    callbacks: tuple[Callback, ...] = (),
    *,
    class_weight: Array | None = None,
    neighbour: Neighbour | None = None,
    plan: Plan | None = None,
    pause: Pause | None = None,
    until: int | None = None,
) -> Job:
    """Plan, objective, start and loop, after the first sweep: a job that returns the :class:`Outcome`.

    Parameters
    ----------
    first : First
        Of rows whose labels are numbers already, and whose weights are multiplied by those of the classes.
    classes : ndarray of shape (K,) or None
        The labels.
    class_weight : ndarray of shape (K,), optional
        Where the blocks' weights are not multiplied by it.
    neighbour : Neighbour, optional
        A fit to the same rows with another penalty.
    plan : Plan, optional
        Of such a problem with such data, where it is known.
    pause : Pause, optional
        Of the same fit, which stopped at a smaller number of iterations.
    until : int, optional
        The iteration to stop at for now, where that is not ``max_iter``.
    """
    moments = first.moments
    n_features, dtype = len(moments.mean), np.dtype(moments.dtype)
    loss = problem.loss(np.size(moments.y_mean) if classes is None else len(classes))
    penalty = problem.penalty(moments)
    if plan is None:
        plan = problem.plan("", seen(extent, moments), loss, penalty)
    sample = first.sample
    near = neighbour is not None and problem.solver == "auto" and not plan.squares
    if (plan.squares and first.squares is None) or (
        plan.sample_rows > (0 if sample is None else sample.size) and not near
    ):
        kernel = MomentsKernel(n_features, classes is not None)
        sample = (yield from first_sweep(plan, kernel)).sample  # the data are not as declared
    rows = sample.lowest(plan.sample_rows).block if sample is not None and plan.sample_rows and not near else None
    if rows is not None and n_features <= CONDITION_FEATURES:
        with one_blas_thread():  # a choice must have the same bits in a task
            condition = correlation_condition(rows.X)
        better = problem.plan("", plan.extent, loss, penalty, condition)
        plan = better if better.sample_rows <= plan.sample_rows else plan
    objective = Objective(
        loss,
        moments,
        fit_intercept=problem.fit_intercept,
        dtype=dtype,
        sparse=moments.sparse,
        squares=first.squares if plan.squares else None,
        sample=rows,
        class_weight=class_weight,
    )
    constant = objective.pin_constant(penalty)
    name = plan.chosen.solver
    if near and not neighbour.alone:  # type: ignore[union-attr]
        name = "preconditioned-lbfgs" if penalty.smooth else "prox-bfgs"
    check_solver(name, objective.free.size, loss, penalty)
    if name == "prox-newton" and penalty.smooth:
        name = "newton-cholesky"  # they are the same then, and this one knows what to do with a singular Hessian
    options = dict(problem.solver_options)
    if name == "newton-cholesky":
        options["rank_tol"] = (SQUARES_RANK_TOL if plan.squares else RANK_TOL)[dtype]
    if loss.quadratic and name in ("newton-cholesky", "prox-newton"):
        options["reuse"] = np.inf
    if hasattr(SOLVERS[name], "rounding"):
        options["rounding"] = VALUE_ROUNDING[np.dtype(np.float64) if plan.squares else dtype]
    solver = SOLVERS[name](**options)
    statistical = problem.tol == "statistical"
    if statistical:
        check_statistical(name, solver, loss)
    coef, intercept, warm = problem.start.point(objective)
    tol = None if isinstance(problem.tol, str) else problem.tol
    fit = Fit(solver, penalty, coef, intercept, problem.max_iter if until is None else until, tol, statistical)
    if pause is not None:
        fit = fit._replace(pause=pause)
    elif near:
        assert neighbour is not None
        objective.landmark = neighbour.minimum
        if not warm and neighbour.start:
            fit = fit._replace(coef=neighbour.minimum.coef, intercept=neighbour.minimum.intercept)
    elif rows is not None and not warm and warm_rows(plan.extent, loss):
        with one_blas_thread():
            fit = start_from_sample(objective, fit, rows, dtype)
    if pause is None:
        fit = yield from start_inside(objective, fit, dtype)
    run = minimising
    if loss.n_constant:
        run = minimising_with_scale
    elif not loss.smooth and name != "gd":
        run = minimising_with_kinks
    if plan.squares:
        dtype = np.dtype(np.float64)  # the precision of the sums
    result = (yield from run(objective, [fit], callbacks, dtype=dtype))[0]
    if run is not minimising:
        result = result._replace(pause=None)  # it is of one of several calls of the loop
    return Outcome(result, name, classes, constant if penalty.none and moments.n_used > 1 else 0, plan)


def first_sweep(plan: Plan, moments: MomentsKernel) -> Job:
    """One sweep for all that the plan wants to know of the data; a job that returns the :class:`First`.

    Raises
    ------
    ValueError
        What is wrong with the data.
    """
    sample = None
    if plan.sample_rows:
        n = plan.extent.n_rows
        # more than enough rows, of which those of the lowest keys stay
        share = plan.sample_rows / n * (1 + 6 / np.sqrt(plan.sample_rows)) if n > 0 else 1.0
        sample = SampleKernel(plan.sample_rows, float(min(share, 1.0)))
    first, _ = yield FirstKernel(moments, SquaresKernel() if plan.squares else None, sample)
    check_moments(first.moments, moments.n_features)
    return first


def seen(extent: Extent, moments: Moments) -> Extent:
    """The extent, with what the first sweep saw."""
    d = extent.n_features
    return extent._replace(
        n_rows=float(moments.n_rows),
        itemsize=np.dtype(moments.dtype).itemsize,
        sparse=moments.sparse,
        density=moments.nonzeros / max(moments.n_rows * d, 1) if moments.sparse else 1.0,
    )


def check_statistical(name: str, solver: Any, loss: Loss) -> None:
    """Refuse tol="statistical" where no standard error stands behind it.

    Raises
    ------
    ValueError
    """
    if not loss.likelihood:
        raise ValueError(
            f"tol='statistical' needs a loss that is a likelihood, and {type(loss).__name__} is none: give a number."
        )
    if not solver.certified:
        names = ", ".join(repr(key) for key, value in SOLVERS.items() if value.certified)
        raise ValueError(
            f"solver={name!r} has no Hessian to tell standard errors from: with tol='statistical' use one of {names}, "
            "or give tol as a number."
        )


def check_moments(moments: Moments, n_features: int) -> None:
    """Raise what the first sweep found wrong with the data."""
    if moments.problem is not None:
        block, message = moments.problem
        raise DataError(f"{message} (block {block})")
    if moments.n_rows == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape=(0, {n_features})) while a minimum of 1 is required.")
    if moments.weight <= 0:
        raise ValueError("Sample weights must contain at least one non-zero number.")


def check_data(
    estimator: Any, X: Any, y: Any, sample_weight: Any, offset: Any, targets: str, *, reset: bool = True
) -> tuple[Any, Any, Any, Any]:
    """Data as the engine takes them: dask collections as they are, arrays of a device with all others brought to it,
    and everything else checked and in memory.

    ``reset`` False: X must have the columns that the estimator knows.
    """
    if is_dask(X):
        validate_data(estimator, frame_names(X), y, skip_check_array=True, reset=reset)
        return X, y, sample_weight, offset
    if is_device_array(X):
        validate_data(estimator, X, y, skip_check_array=True, reset=reset)
        n = X.shape[0]
        weight, offset = per_row(sample_weight, n, "sample_weight"), per_row(offset, n, "offset")
        return device_block(X, y, weight, offset, targets)[1:5]
    y = np.asarray(y) if is_dask(y) else to_numpy(y) if is_device_array(y) else y
    size = getattr(X, "size", 0)
    X, y = validate_data(
        estimator,
        X,
        y,
        accept_sparse="csr",
        dtype=[np.float64, np.float32],
        order=None if size >= LARGE else "C",  # blocks of large data are brought row by row, if need be, in threads
        y_numeric=targets != "labels",
        multi_output=targets == "columns",
        ensure_all_finite=size < LARGE,
        reset=reset,
    )
    if targets == "columns" and y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if targets == "labels":
        check_classification_targets(y)
    else:
        y = np.ascontiguousarray(y, dtype=np.float64)
    if sp.issparse(X):
        X = sp.csr_array(X)
    n = X.shape[0]
    return X, y, check_vector(sample_weight, n, "sample_weight"), check_vector(offset, n, "offset")


def check_vector(values: Any, n: int, name: str) -> Array | None:
    """(n,) floats from an array-like, one number for all rows, or None."""
    if values is None:
        return None
    vector = to_numpy(values) if is_device_array(values) else np.asarray(values)
    if vector.dtype.kind not in "biuf":
        vector = vector.astype(np.float64)
    if vector.ndim == 0:
        vector = np.full(n, vector)
    if vector.ndim != 1:
        raise ValueError(
            f"{name.replace('_', ' ').capitalize()}s must be 1D array or scalar, got {vector.ndim}D array."
        )
    if vector.shape != (n,):
        raise ValueError(f"{name}.shape == {vector.shape}, expected {(n,)}!")
    return np.ascontiguousarray(vector, dtype=np.float32 if vector.dtype == np.float32 else np.float64)


def per_row(values: Any, n: int, name: str) -> Any:
    """:func:`check_vector` of what is in main memory; arrays of a device as they are."""
    return values if is_device_array(values) else check_vector(values, n, name)


def frame_names(X: Any) -> Any:
    """What scikit-learn reads names and widths from: an empty pandas frame in the place of a dask one."""
    if not is_dask_frame(X):
        return X
    import pandas as pd

    return pd.DataFrame(columns=list(X.columns))
