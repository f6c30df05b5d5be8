"""The only loop in the library: ask, sweep, answer, report; drives one or many fits in lock-step.

A fit is a job: it yields the kernels that it wants swept and is sent their sums, so that whoever drives many jobs may
sweep for all of them at once (:mod:`.lockstep`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from .engine.blas import one_blas_thread
from .exceptions import FitInterrupted
from .objective import Model, Objective
from .penalties import Penalty
from .protocol import (
    VALUE,
    Answer,
    Array,
    Callback,
    Conversation,
    Engine,
    Job,
    Pause,
    Query,
    Replace,
    Report,
    Result,
    Solver,
    State,
    SweepCost,
    Swept,
)

# Relative decrements below these squares are rounding of the data's precision: asking for less would never end.
PRECISION = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-10}
# Where no step is lower any more, this is close enough to call the optimum reached.
STALLED = {np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-6}
DIVERGED = 1e10  # times the starting objective
OUT_OF_BOUNDS = "the objective diverged: lower eta0, scale the columns, or use learning_rate='armijo'"
REFINEMENTS = 4
ROUGH = 1e-5  # a relative gradient at which an ill-conditioned expansion has told what it knows
REFINED = 1e-5  # a relative gradient so small before the last refinement is far below rounding after it
MISJUDGED = 10.0  # times the share of the norm that a step is thought to leave
FLAT = 1e-12  # a relative difference of objectives that is rounding

HISTORY = ("objective", "grad_norm", "step", "seconds", "rows", "bytes", "tasks")


class Fit(NamedTuple):
    """What the loop needs to run one fit.

    ``tol`` is compared with √(decrement / F at the start), a relative gradient norm that no unit changes; the
    decrement is the larger of the objective's own and the solver's. Below the precision of the data no more is asked
    than that, of the state or of where the step that is computed already, by a Hessian, will end.
    """

    solver: Solver
    penalty: Penalty
    coef: Array  # (k, d) start
    intercept: Array  # (k,)
    max_iter: int
    tol: float | None
    statistical: bool = False  # stop where every coefficient is within 0.01 standard errors of the minimum
    pause: Pause | None = None  # of an earlier call that stopped at its max_iter: go on from there


@dataclass
class _Running:
    """One fit under way."""

    number: int
    fit: Fit
    solver: Solver
    model: Model
    conversation: Conversation
    query: Query | None = None
    state: State | None = None
    scale: float = (
        1.0  # what the stopping rule relates to: F of the constant model, or at the start where that is lower
    )
    began: float | None = None  # F at the start
    iteration: int = 0
    sweeps: int = 0
    cost: SweepCost = SweepCost()
    history: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HISTORY})
    converged: bool = False
    separated: bool = False
    norm_before: float = np.inf  # at the state before the present one
    first_norm: float = np.inf  # at the start, or where it last went on from an exact gradient
    refinements: int = 0
    refined: bool = False  # an exact gradient has confirmed the solution
    message: str | None = None  # set when the fit is over
    exhausted: bool = False  # it has had all its iterations


def minimise(
    objective: Objective,
    engine: Engine,
    fits: Sequence[Fit],
    callbacks: Sequence[Callback] = (),
    *,
    dtype: np.dtype,
) -> list[Result]:
    """:func:`minimising` on an engine."""
    results: list[Result] = run_job(minimising(objective, fits, callbacks, dtype=dtype), engine)
    return results


def minimising(
    objective: Objective, fits: Sequence[Fit], callbacks: Sequence[Callback] = (), *, dtype: np.dtype
) -> Job:
    """Minimise the objective for every fit, one sweep answering all of them; a job that returns their results.

    Raises
    ------
    FitInterrupted
        The cluster failed for good; carries the coefficients of the last iteration of the first fit under way.
    """
    running = []
    for number, fit in enumerate(fits):
        coordinates = objective.coordinates(fit.solver, fit.penalty)
        theta = objective.to_theta(fit.coef, fit.intercept, coordinates)
        model, solver = Model(fit.penalty, coordinates, objective.expansion), fit.solver
        if solver.proximal:
            solver = replace(solver, nonsmooth=objective.nonsmooth(model))  # type: ignore[type-var]
        elif not fit.penalty.smooth:
            raise ValueError(
                f"The solver {type(solver).__name__} needs a smooth penalty and cannot honour L1, groups or bounds: "
                "use 'prox-newton' or 'fista'."
            )
        run = _Running(number, fit, solver, model, solver.init(theta))
        if fit.pause is not None:
            run.state, run.began, run.scale, run.iteration, run.norm_before = fit.pause
            run.conversation = solver.step(run.state)
        running.append(run)
    for run in running:
        _advance(run, None, objective, callbacks, len(fits), dtype)
    while active := [run for run in running if run.query is not None]:
        queries = [run.query for run in active if run.query is not None]
        answers = yield from _ask(active, queries, [run.model for run in active], objective)
        for run, answer in zip(active, answers, strict=True):
            _advance(run, answer, objective, callbacks, len(fits), dtype)
    yield from _refine(running, objective, callbacks, dtype)
    results = []
    for run in running:
        results.append((yield from _result(run, objective)))
    return results


def _ask(
    runs: Sequence[_Running],
    queries: Sequence[Query],
    models: Sequence[Model],
    objective: Objective,
    *,
    exact: bool = False,
) -> Job:
    """One sweep for one query of each fit, and the answers."""
    try:
        sums, cost = yield objective.kernel(queries, models, exact=exact)
    except FitInterrupted as error:
        first = runs[0]
        if first.state is None:
            raise
        coef, intercept = objective.to_model(first.state.theta, first.model.coordinates)
        raise FitInterrupted(str(error), coef, intercept, first.iteration) from error
    for run in runs:
        run.sweeps += 1
        run.cost = run.cost + cost
    return objective.finish(sums, queries, models)


def _is_coarse(run: _Running, objective: Objective) -> bool:
    """Whether a fit came as near to its minimum as sums of products allow, and no exact gradient has been there."""
    state = run.state
    if state is None or run.refined or not (run.converged or state.step == 0.0):
        return False
    if run.fit.tol is None and not run.fit.statistical:
        return False  # so many iterations were asked for, and no more
    return objective.coarse(state.value, run.model)


def _refine(running: Sequence[_Running], objective: Objective, callbacks: Sequence[Callback], dtype: np.dtype) -> Job:
    """Where sums of products are too coarse for the last digits, go on from exact gradients; one sweep for all."""
    for _ in range(REFINEMENTS):
        due = [run for run in running if _is_coarse(run, objective)]
        if not due:
            return
        thetas = [run.solver.solution(run.state) for run in due]
        asked = [objective.refinement(theta, run.model) for theta, run in zip(thetas, due, strict=True)]
        queries, plain = [query for query, _ in asked], [model for _, model in asked]
        answers = yield from _ask(due, queries, plain, objective, exact=True)
        for run, theta, query, answer in zip(due, thetas, queries, answers, strict=True):
            run.model = objective.refined(query, answer, run.model)
            run.conversation, run.state, run.converged, run.message = run.solver.init(theta), None, False, None
            run.refinements += 1
            _advance(run, None, objective, callbacks, len(running), dtype)
            run.refined = run.converged and run.first_norm <= max(REFINED, run.fit.tol or 0.0)


def _advance(
    run: _Running, answer: Answer | None, objective: Objective, callbacks: Sequence[Callback], n_fits: int, dtype: Any
) -> None:
    """Send the answer, and those that need no sweep; at the end of a step report, and start the next or finish.

    One BLAS thread, as in a task: products and factors of another number of threads have other bits.
    """
    with one_blas_thread():
        _converse(run, answer, objective, callbacks, n_fits, dtype)


def _converse(
    run: _Running, answer: Answer | None, objective: Objective, callbacks: Sequence[Callback], n_fits: int, dtype: Any
) -> None:
    while True:
        try:
            query = run.conversation.send(answer) if answer is not None else next(run.conversation)
            answer = objective.known(query, run.model)
            if answer is None:
                run.query = query
                return
            continue
        except StopIteration as stop:
            first = run.state is None
            run.state = stop.value
        if run.began is None:
            smallest = max(objective.rounding, np.finfo(float).tiny)
            run.began = max(abs(run.state.value), smallest)
            run.scale = max(min(run.began, objective.typical), smallest)
        if not first:
            run.iteration += 1
        _judge(run, objective, callbacks, n_fits, dtype, first=first)
        if run.message is not None:
            run.query = None
            return
        run.conversation, answer = run.solver.step(run.state), None


def _judge(
    run: _Running, objective: Objective, callbacks: Sequence[Callback], n_fits: int, dtype: Any, *, first: bool
) -> None:
    """The stopping rule of every solver that has none of its own."""
    state, fit = run.state, run.fit
    assert state is not None and run.began is not None
    finished = getattr(state, "finished", None)
    if finished is not None:  # values and gradients of a few rows are noise: such a solver has a rule of its own
        if finished:
            run.converged, run.message = finished == "converged", finished
        elif run.iteration >= fit.max_iter:
            _exhaust(run, fit.tol)
        _report(run, np.nan, fit.tol, callbacks, n_fits, first=first)
        return
    finite = np.isfinite(state.value) and bool(np.isfinite(state.grad).all())
    decrement = max(objective.decrement(state.theta, state.grad, run.model), state.decrement) if finite else np.inf
    norm = float(np.sqrt(decrement / run.scale))
    tol = objective.statistical_tol(run.solver, state.value, run.scale) if fit.statistical else fit.tol
    if first:
        run.first_norm, run.norm_before = norm, np.inf
    if tol is not None and not run.refinements and objective.coarse(state.value, run.model):
        tol = max(tol, ROUGH)  # sums of products hold no more digits; a refinement follows
    stalled = state.step == 0.0
    if not finite or state.value > DIVERGED * run.began:
        run.message = OUT_OF_BOUNDS
    elif objective.separated(state.value, fit.penalty):
        run.separated = True
        run.message = (
            "the classes are perfectly separated, so that without a penalty no minimum exists and the coefficients "
            "grow for ever: use a penalty (C below infinity, alpha above 0)"
        )
    elif tol is not None and (norm <= max(tol, PRECISION[dtype]) or _closes(run, norm, tol, PRECISION[dtype])):
        run.converged, run.message = True, "converged"
    elif stalled:
        run.converged = norm <= STALLED[dtype]
        run.message = (
            "converged to rounding" if run.converged else f"no step lowers the objective any more: {objective.advice}"
        )
    elif run.iteration >= fit.max_iter:
        _exhaust(run, tol)
    run.norm_before = norm
    _report(run, norm, tol, callbacks, n_fits, first=first)


def _closes(run: _Running, norm: float, tol: float, precision: float) -> bool:
    """Whether a last step that is computed already and costs no sweep ends below the precision of the data, even if it
    leaves ten times the share of the norm that the step before left. Finer tolerances are measured, not foretold."""
    share = norm / run.norm_before if 0 < run.norm_before < np.inf else 1.0
    return run.solver.certified and tol < precision and MISJUDGED * norm * min(share, 1.0) <= precision


def _exhaust(run: _Running, tol: float | None) -> None:
    run.exhausted = True
    run.converged = tol is None
    run.message = f"max_iter={run.fit.max_iter} reached before tol={tol}: raise max_iter or tol, or scale the columns"


def _report(
    run: _Running, norm: float, tol: float | None, callbacks: Sequence[Callback], n_fits: int, *, first: bool
) -> None:
    """The history and the callbacks."""
    state, fit = run.state, run.fit
    assert state is not None
    if not first:
        # An infinite step is a restart of the solver, no step of the iterate.
        record = (state.value, norm, state.step if np.isfinite(state.step) else 0.0, *run.cost)
        for name, number in zip(HISTORY, record, strict=True):
            run.history[name].append(number)
    if not first or (run.message and not run.iteration):
        report = Report(
            run.number,
            n_fits,
            run.iteration,
            fit.max_iter,
            state.value,
            norm,
            state.step,
            run.cost,
            run.converged,
            tol,
        )
        run.cost = SweepCost()
        if any([callback(report) for callback in callbacks]) and run.message is None:
            run.message = "stopped by a callback"


def _result(run: _Running, objective: Objective) -> Job:
    """The :class:`Result` of one fit."""
    state = run.state
    assert state is not None and run.message is not None
    with one_blas_thread():
        coef, intercept = _solution(run, objective)
        rank, shorter = _shortest(run, objective, coef, intercept)
    if shorter is not None:
        if objective.loss.quadratic or (yield from _as_low(run, objective, shorter, (coef, intercept))):
            coef, intercept = shorter
    coef, intercept = objective.symmetric(coef, intercept, run.fit.penalty)
    history = {name: np.asarray(numbers) for name, numbers in run.history.items()}
    return Result(
        coef,
        intercept,
        run.iteration,
        run.sweeps,
        run.converged,
        run.message,
        history,
        rank,
        run.separated,
        state if hasattr(state, "finished") else None,
        # After a refinement the state alone does not tell how to go on.
        None
        if run.began is None or run.refinements
        else Pause(state, run.began, run.scale, run.iteration, run.norm_before),
        run.exhausted,
    )


def _solution(run: _Running, objective: Objective) -> tuple[Array, Array]:
    """Coefficients and intercepts of the last state."""
    state = run.state
    theta = run.solver.solution(state) if run.converged or hasattr(state, "finished") else state.theta  # type: ignore[union-attr]
    coef, intercept = objective.to_model(theta, run.model.coordinates)
    if run.solver.proximal:  # a bound is met to the last digit, in the user's units too
        exact = run.fit.penalty.snap(coef)
        intercept = intercept + (coef - exact) @ run.model.coordinates.center
        coef = exact
    return coef, intercept


def _shortest(
    run: _Running, objective: Objective, coef: Array, intercept: Array
) -> tuple[int | None, tuple[Array, Array] | None]:
    """The rank of a Hessian that was factored, and where it is not full the point of smallest norm with the same
    margins."""
    factor = getattr(run.state, "factor", None)
    if factor is None:
        return None, None
    null = factor.null
    rank = int(objective.free[:, :-1].sum()) - null.shape[1]
    if not null.shape[1]:
        return rank, None
    shorter = objective.minimum_norm(coef, null, run.model.coordinates)
    # margins at the column means stay; only the coefficients lose their part in the null space
    return rank, (shorter, intercept + (coef - shorter) @ run.model.coordinates.center)


def _as_low(run: _Running, objective: Objective, point: tuple[Array, Array], other: tuple[Array, Array]) -> Job:
    """Whether F at one point is no higher than at the other, by one sweep: where a Hessian is singular because the loss
    is straight at the rows, and not because columns depend on each other, F is flat near by alone."""
    value, _ = yield from values_at(objective, (point, other), run.fit.penalty)
    run.sweeps += 1
    return bool(value[0] <= value[1] + FLAT * abs(value[1]))


def values_at(objective: Objective, points: Sequence[tuple[Array, Array]], penalty: Penalty) -> Job:
    """F at points (coefficients, intercepts), and the cost of the one sweep."""
    model = Model(penalty, objective.raw)
    query = Query(np.stack([objective.to_theta(*point, objective.raw) for point in points]), VALUE)
    sums, cost = yield objective.kernel([query], [model])
    return objective.finish(sums, [query], [model])[0].value, cost


def run_job(job: Job, engine: Engine) -> Any:
    """Drive one job on an engine to its end, and return what it returns."""
    reply: Swept | None = None
    failure: FitInterrupted | None = None
    while True:
        try:
            asked = job.send(reply) if failure is None else job.throw(failure)
        except StopIteration as stop:
            return stop.value
        reply, failure = None, None
        if isinstance(asked, Replace):
            engine.replace(asked.transform)
            continue
        started = time.perf_counter()
        try:
            sums = engine.sweep(asked)
        except FitInterrupted as error:
            failure = error
            continue
        reply = Swept(sums, engine.cost._replace(seconds=time.perf_counter() - started))
