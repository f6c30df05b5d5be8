"""The only loop in the library: ask, sweep, answer, report; drives one or many fits in lock-step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from .exceptions import FitInterrupted
from .objective import Model, Objective
from .penalties import Penalty
from .protocol import Answer, Array, Callback, Conversation, Engine, Query, Report, Result, Solver, State, SweepCost

# Relative decrements below these squares are rounding of the data's precision: asking for less would never end.
PRECISION = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-10}
# Where no step is lower any more, this is close enough to call the optimum reached.
STALLED = {np.dtype(np.float32): 1e-3, np.dtype(np.float64): 1e-6}
DIVERGED = 1e10  # times the starting objective

HISTORY = ("objective", "grad_norm", "step", "seconds", "rows", "bytes", "tasks")


class Fit(NamedTuple):
    """What the loop needs to run one fit.

    ``tol`` is compared with √(decrement / F at the start), a relative gradient norm that no unit changes; the
    decrement is the larger of the objective's own and the solver's.
    """

    solver: Solver
    penalty: Penalty
    coef: Array  # (k, d) start
    intercept: Array  # (k,)
    max_iter: int
    tol: float | None


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
    began: float = 1.0  # F at the start
    iteration: int = 0
    sweeps: int = 0
    cost: SweepCost = SweepCost()
    history: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in HISTORY})
    converged: bool = False
    separated: bool = False
    message: str | None = None  # set when the fit is over


def minimise(
    objective: Objective,
    engine: Engine,
    fits: Sequence[Fit],
    callbacks: Sequence[Callback] = (),
    *,
    dtype: np.dtype,
) -> list[Result]:
    """Minimise the objective for every fit, one sweep answering all of them.

    Raises
    ------
    FitInterrupted
        The cluster failed for good; carries the coefficients of the first fit's last iteration.
    """
    running = []
    for number, fit in enumerate(fits):
        coordinates = objective.coordinates(fit.solver, fit.penalty)
        theta = objective.to_theta(fit.coef, fit.intercept, coordinates)
        model, solver = Model(fit.penalty, coordinates), fit.solver
        if solver.proximal:
            solver = replace(solver, nonsmooth=objective.nonsmooth(model))  # type: ignore[type-var]
        elif not fit.penalty.smooth:
            raise ValueError(
                f"The solver {type(solver).__name__} needs a smooth penalty and cannot honour L1, groups or bounds: "
                "use 'prox-newton' or 'fista'."
            )
        running.append(_Running(number, fit, solver, model, solver.init(theta)))
    for run in running:
        _advance(run, None, objective, callbacks, len(fits), dtype)
    while active := [run for run in running if run.query is not None]:
        queries = [run.query for run in active if run.query is not None]
        models = [run.model for run in active]
        started = time.perf_counter()
        try:
            sums = engine.sweep(objective.kernel(queries, models))
        except FitInterrupted as error:
            first = running[0]
            if first.state is None:
                raise
            coef, intercept = objective.to_model(first.state.theta, first.model.coordinates)
            raise FitInterrupted(str(error), coef, intercept, first.iteration) from error
        cost = engine.cost._replace(seconds=time.perf_counter() - started)
        for run, answer in zip(active, objective.finish(sums, queries, models), strict=True):
            run.sweeps += 1
            run.cost = run.cost + cost
            _advance(run, answer, objective, callbacks, len(fits), dtype)
    return [_result(run, objective) for run in running]


def _advance(
    run: _Running, answer: Answer | None, objective: Objective, callbacks: Sequence[Callback], n_fits: int, dtype: Any
) -> None:
    """Send the answer; at the end of a step report, and start the next step or finish."""
    while True:
        try:
            run.query = run.conversation.send(answer) if answer is not None else next(run.conversation)
            return
        except StopIteration as stop:
            first = run.state is None
            run.state = stop.value
        if first:
            smallest = max(objective.rounding, np.finfo(float).tiny)
            run.began = max(abs(run.state.value), smallest)
            run.scale = max(min(run.began, objective.typical), smallest)
        else:
            run.iteration += 1
        _judge(run, objective, callbacks, n_fits, dtype)
        if run.message is not None:
            run.query = None
            return
        run.conversation, answer = run.solver.step(run.state), None


def _judge(run: _Running, objective: Objective, callbacks: Sequence[Callback], n_fits: int, dtype: Any) -> None:
    """The stopping rule of every solver that has none of its own."""
    state, fit = run.state, run.fit
    assert state is not None
    finished = getattr(state, "finished", None)
    if finished is not None:  # values and gradients of a few rows are noise: such a solver has a rule of its own
        norm = np.nan
        if finished:
            run.converged, run.message = finished == "converged", finished
        elif run.iteration >= fit.max_iter:
            _exhaust(run)
        _report(run, norm, callbacks, n_fits)
        return
    finite = np.isfinite(state.value) and bool(np.isfinite(state.grad).all())
    decrement = max(objective.decrement(state.theta, state.grad, run.model), state.decrement) if finite else np.inf
    norm = float(np.sqrt(decrement / run.scale))
    stalled = state.step == 0.0
    if not finite or state.value > DIVERGED * run.began:
        run.message = "the objective diverged: lower eta0, scale the columns, or use learning_rate='armijo'"
    elif objective.separated(state.value, fit.penalty):
        run.separated = True
        run.message = (
            "the classes are perfectly separated, so that without a penalty no minimum exists and the coefficients "
            "grow for ever: use a penalty (C below infinity, alpha above 0)"
        )
    elif fit.tol is not None and norm <= max(fit.tol, PRECISION[dtype]):
        run.converged, run.message = True, "converged"
    elif stalled:
        run.converged = norm <= STALLED[dtype]
        run.message = (
            "converged to rounding" if run.converged else f"no step lowers the objective any more: {objective.advice}"
        )
    elif run.iteration >= fit.max_iter:
        _exhaust(run)
    _report(run, norm, callbacks, n_fits)


def _exhaust(run: _Running) -> None:
    fit = run.fit
    run.converged = fit.tol is None
    run.message = f"max_iter={fit.max_iter} reached before tol={fit.tol}: raise max_iter or tol, or scale the columns"


def _report(run: _Running, norm: float, callbacks: Sequence[Callback], n_fits: int) -> None:
    """The history and the callbacks."""
    state, fit = run.state, run.fit
    assert state is not None
    if run.iteration:
        # An infinite step is a restart of the solver, no step of the iterate.
        record = (state.value, norm, state.step if np.isfinite(state.step) else 0.0, *run.cost)
        for name, number in zip(HISTORY, record, strict=True):
            run.history[name].append(number)
    if run.iteration or run.message:
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
            fit.tol,
        )
        run.cost = SweepCost()
        if any([callback(report) for callback in callbacks]) and run.message is None:
            run.message = "stopped by a callback"


def _result(run: _Running, objective: Objective) -> Result:
    state = run.state
    assert state is not None and run.message is not None
    own_verdict = hasattr(state, "finished")
    theta = run.solver.solution(state) if run.converged or own_verdict else state.theta
    coef, intercept = objective.to_model(theta, run.model.coordinates)
    if run.solver.proximal:  # a bound is met to the last digit, in the user's units too
        exact = run.fit.penalty.snap(coef)
        intercept = intercept + (coef - exact) @ run.model.coordinates.center
        coef = exact
    rank = None
    factor = getattr(state, "factor", None)
    if factor is not None:
        # margins at the column means stay; only the coefficients lose their part in the null space
        null = factor.null
        rank = int(objective.free[:, :-1].sum()) - null.shape[1]
        if null.shape[1]:
            shorter = objective.minimum_norm(coef, null, run.model.coordinates)
            intercept = intercept + (coef - shorter) @ run.model.coordinates.center
            coef = shorter
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
        state if own_verdict else None,
    )
