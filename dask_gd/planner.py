"""Which solver a fit uses when the user leaves the choice to us, why, what it will cost, and which choices cannot work.

The choice depends on the data, the loss and the penalty alone, never on a clock or on the number of
workers: the same fit takes the same solver, and so gives the same bits, everywhere. Seconds are those of a machine
whose constants stand below; they rank the solvers and are no promise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .losses import Loss
from .losses.base import REALS
from .penalties import Penalty
from .protocol import Extent
from .solvers import SOLVERS

SQUARES_FEATURES = 4000  # up to here sums of products fit every worker: d² numbers in each partial sum
MAX_PARAMETERS = 4000  # of a Hessian that "auto" would form
REFUSED_PARAMETERS = 20_000  # 3 GiB a Hessian
SLOWER = 2.0  # times as long may a fit take that needs fewer sweeps
SQUARES_SLOWER = 5.0  # likewise for the one sweep that answers everything

# Measured on one core of an EPYC (family 26, model 2), machine code, nanoseconds, float32; float64 takes twice as long.
READ = 0.25  # an entry of a dense X, in a pass for value and gradient
READ_SPARSE = 1.5  # a stored entry of a sparse X, in either precision
LOAD = 4.0  # an entry of a dense X, read from Parquet files and decoded, where it does not fit the memory
LOAD_SPARSE = 10.0  # a stored entry of a sparse X
SCALE = 0.28  # an entry of a dense X, in a pass for a Hessian: the rows are turned over
PRODUCT = 0.0095  # each of the n d² products of a Hessian
PRODUCT_SPARSE = 1.0  # each product of two stored entries
SUM_SPARSE = 2.0  # each entry of the Hessian of a sparse block
FACTOR = 0.009  # each of the p³ steps of a Cholesky factor on the client
TURN = 25.0  # each entry of a Hessian that is brought into the solver's coordinates
LATENCY = 0.015  # seconds of a round on the scheduler …
HERE = 0.001  # … and in this process
NOMINAL = Extent(0, 0, workers=2, threads=4)  # the machines of a choice, which must not depend on how many there are
UNKNOWN_ROWS = 1e6
UNKNOWN_PER_ROW = 100.0  # stored entries a row of a sparse X

SAMPLE_PER_PARAMETER = 20  # rows of the sample for each feature: its Hessian is then within a quarter of the whole
SAMPLE_GENEROUS = 500  # … and for a start from its optimum so many where they are small, …
SAMPLE_SMALL_BYTES = 8 * 2**20
SAMPLE_ENOUGH = 50  # … or so many where they are not, …
SAMPLE_LARGE_BYTES = 16 * 2**20  # … up to this
SAMPLE_BYTES = 512 * 2**20
SAMPLE_ROWS = 2000  # at the least
WARM_SHARE = 0.05  # of the rows, at the most, for a start from a sample's optimum: fits on it cost a sweep or two
WARM_SECONDS = 4e-4  # of a pass, at the least
WARM_PER_PARAMETER = 10  # and so many rows a parameter at the least


class Option(NamedTuple):
    """What one solver would cost."""

    solver: str
    sweeps: int  # the first one included
    seconds: float
    memory: float  # bytes on the client
    wire: float  # bytes from each batch in the largest sweep


class Plan(NamedTuple):
    """The choice of a solver, and what a fit is expected to cost; printed as text.

    ``actual_sweeps`` and ``actual_seconds`` are None before the fit.
    """

    title: str
    extent: Extent
    chosen: Option
    why: str
    squares: bool  # one sweep answers every question
    sample_rows: int  # drawn in the first sweep
    runner_up: Option | None
    nbytes: float  # of X, where need be as assumed
    condition: float | None = None  # of the sampled columns
    actual_sweeps: int | None = None
    actual_seconds: float | None = None

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        extent, chosen = self.extent, self.chosen
        lines = [
            self.title,
            f"  data       {_describe(extent)}",
            *([] if self.condition is None else [f"  condition  about {self.condition:.0e}, of the sampled columns"]),
            f"  machines   {_machines(extent)}",
            f"  solver     {chosen.solver}",
            f"  because    {self.why}",
            f"  sweeps     about {chosen.sweeps}: {self._sweeps()}",
            f"  reads      {_size(chosen.sweeps * self.nbytes)} in all; up to {_size(chosen.wire)} come from a batch",
            f"  memory     {_size(chosen.memory)} on the client; the data {_residence(extent)}",
            f"  time       about {_seconds(chosen.seconds)}, {_loading(extent)}",
        ]
        if self.runner_up is not None:
            other = self.runner_up
            lines.append(
                f"  instead    {other.solver}: about {other.sweeps} sweeps, {_seconds(other.seconds)}, "
                f"{_size(other.memory)}"
            )
        if self.actual_sweeps is not None and self.actual_seconds is not None:
            lines.append(f"  it took    {self.actual_sweeps} sweeps, {_seconds(self.actual_seconds)}")
        return "\n".join(lines)

    def _sweeps(self) -> str:
        if self.squares:
            return "one for the sums of products, which answer every question; one more where they are ill-conditioned"
        rest = max(self.chosen.sweeps - 1, 0)
        if self.sample_rows:
            return f"one for the moments and a sample of {self.sample_rows:,} rows, {rest} of the solver"
        return f"one for the moments, {rest} of the solver"


def plan(
    title: str,
    extent: Extent,
    loss: Loss,
    *,
    smooth: bool,
    l1_only: bool = True,
    solver: str = "auto",
    max_iter: int = 1000,
    precompute: bool | str = "auto",
    condition: float | None = None,
) -> Plan:
    """The plan for data of this extent.

    Parameters
    ----------
    title : str
        The first line of the text.
    extent : Extent
    loss : Loss
    smooth, l1_only : bool
        Of the penalty.
    solver : str
        The user's choice, or "auto".
    max_iter : int
        What a solver of fixed steps would run to.
    precompute : bool or "auto"
        Whether a squared loss may answer from sums of products.
    condition : float, optional
        Of the columns' correlations, where it is known.
    """
    known = extent._replace(
        n_rows=UNKNOWN_ROWS if math.isnan(extent.n_rows) else max(extent.n_rows, 1.0),
        density=min(UNKNOWN_PER_ROW / extent.n_features, 1.0) if math.isnan(extent.density) else extent.density,
    )
    squares = squares_possible(loss, extent.n_features, precompute)
    direct = "newton-cholesky" if smooth else "prox-newton"

    def cost(name: str, machines: Extent = NOMINAL, squares: bool = False) -> Option:
        return _option(name, known, loss, machines, max_iter=max_iter, squares=squares, condition=condition)

    if solver == "auto":
        names = _candidates(loss, smooth=smooth, l1_only=l1_only, size=loss.n_outputs * extent.n_features)
        ranked = sorted(map(cost, names), key=lambda option: option.seconds)
        if squares and precompute is not True:
            least = min((option.seconds for option in ranked if option.solver != direct), default=math.inf)
            squares = cost(direct, squares=True).seconds <= max(SQUARES_SLOWER * least, 1.0)
        if squares:
            chosen, why = direct, f"a squared loss is its sums of products, and {extent.n_features:,} columns have few"
        else:
            close = [option for option in ranked if option.seconds <= SLOWER * ranked[0].seconds]
            chosen = min(close, key=lambda option: option.sweeps).solver
            why = _why(chosen, known, loss, smooth=smooth)
        other = next((option.solver for option in ranked if option.solver != chosen), None)
    else:
        squares = squares and (precompute is True or _squares_worth(known, solver, max_iter))
        chosen, why, other = solver, "it was asked for", None
    return Plan(
        title,
        extent,
        cost(chosen, extent, squares),
        why,
        squares,
        0 if squares else sample_rows(chosen, known, loss),
        None if other is None else cost(other, extent),
        known.nbytes,
        condition,
    )


def squares_possible(loss: Loss, n_features: int, precompute: bool | str) -> bool:
    """Whether the sums of products may answer: ℓ = ½ (y - η)², and not too many columns."""
    squared = loss.quadratic and loss.curvature == 1.0
    return squared and precompute is not False and (precompute is True or n_features <= SQUARES_FEATURES)


def samples_tell(loss: Loss) -> bool:
    """Whether a sample of rows tells of the curvature of all: not of kinks, of a scale, or of a bounded domain."""
    return loss.smooth and loss.margins == REALS and not loss.n_constant


def warm_rows(extent: Extent, loss: Loss, nbytes: float = SAMPLE_SMALL_BYTES) -> int:
    """Rows of a sample whose optimum is worth starting from; 0: none is."""
    p = loss.n_outputs * (extent.n_features + 1)
    if not samples_tell(loss) or p > MAX_PARAMETERS or _pass_seconds(extent, loss.n_outputs)[0] < WARM_SECONDS:
        return 0
    columns, each = extent.n_features + 1, _row_bytes(extent)
    enough = max(nbytes / each, min(SAMPLE_ENOUGH * columns, SAMPLE_LARGE_BYTES / each))
    rows = int(min(SAMPLE_GENEROUS * columns, enough, WARM_SHARE * extent.n_rows))
    return rows if rows >= WARM_PER_PARAMETER * p else 0


def sample_rows(solver: str, extent: Extent, loss: Loss) -> int:
    """Rows of the sample that a fit draws; 0: none."""
    cls = SOLVERS[solver]
    if cls.sampling:  # of which its Hessian is made
        wanted = max(warm_rows(extent, loss, SAMPLE_LARGE_BYTES), SAMPLE_PER_PARAMETER * extent.n_features, SAMPLE_ROWS)
        return int(min(wanted, SAMPLE_BYTES / _row_bytes(extent)))
    return warm_rows(extent, loss) if cls.standardised else 0


def _row_bytes(extent: Extent) -> float:
    if extent.sparse:
        return (extent.itemsize + 4) * UNKNOWN_PER_ROW
    return float(extent.itemsize * extent.n_features)


def _candidates(loss: Loss, *, smooth: bool, l1_only: bool, size: int) -> list[str]:
    """The solvers that "auto" weighs."""
    small = size <= MAX_PARAMETERS
    sampled = small and samples_tell(loss)
    if smooth:
        names = ["newton-cholesky"] * small + ["preconditioned-lbfgs"] * sampled + ["lbfgs"]
    else:
        names = ["prox-newton"] * small + ["prox-bfgs"] * sampled + ["owlqn"] * (l1_only and loss.smooth) + ["fista"]
    return names


def _option(
    name: str, extent: Extent, loss: Loss, machines: Extent, *, max_iter: int, squares: bool, condition: float | None
) -> Option:
    """Predicted cost; sweeps as measured on the reference problems (see the benchmarks page)."""
    latency = LATENCY if machines.workers else HERE
    threads = max(min(machines.threads, extent.n_blocks), 1) if machines is not NOMINAL else machines.threads
    warm = warm_rows(extent, loss) > 0
    k, d, n = loss.n_outputs, extent.n_features, extent.n_rows
    p = k * d
    read, products = (seconds / threads for seconds in _pass_seconds(extent, k))
    if not machines.resident:
        read += _load_seconds(extent) / threads
    factor = 1e-9 * (FACTOR * float(p) ** 3 + TURN * float(p) ** 2)
    vectors, matrices = 8.0 * p, 8.0 * p * p
    if squares:
        steps = max_iter if name == "gd" else 2
        one = _pass_seconds(extent._replace(itemsize=8), 1)[1] / threads  # in float64, the same for every target
        seconds = latency + read + one + factor + steps * (3e-4 + d * d * 1e-9)
        return Option(name, 1, seconds, 4 * 8.0 * d * d, 8.0 * d * d)
    kappa = condition if condition is not None else 1e2 if extent.sparse else 1e4
    if name in ("newton-cholesky", "prox-newton"):
        rounds = 4 if warm else 6
        seconds = rounds * (latency + read + products + factor)
        return Option(name, 1 + rounds, seconds + latency + read, 3 * matrices, matrices)
    if name in ("preconditioned-lbfgs", "prox-bfgs"):
        rounds = 7 if warm else 9
        rows = min(sample_rows(name, extent, loss), n)
        sample = extent._replace(n_rows=rows, n_blocks=1)
        own = 4 * (_pass_seconds(sample, k)[1] + factor)  # on the client, start and refreshes
        seconds = (1 + rounds) * (latency + read) + own
        memory = sample.nbytes
        return Option(name, 1 + rounds, seconds, memory + 3 * matrices, memory / NOMINAL.threads)
    rounds = {
        "lbfgs": 5 * kappa**0.38,
        "owlqn": 6 * kappa**0.38,
        "newton-cg": 30 * kappa**0.13,
        "fista": 9 * kappa**0.44,
        "gd": 3.5 * kappa,
    }.get(name, 100.0)
    rounds = min(rounds, max_iter)
    return Option(name, 1 + round(rounds), (1 + rounds) * (latency + read), 24 * vectors, vectors)


def _pass_seconds(extent: Extent, k: int) -> tuple[float, float]:
    """Of one core's pass for the gradient of k outputs, and of what a Hessian adds to it."""
    n, d = extent.n_rows, extent.n_features
    pairs = k * (k + 1) / 2
    if extent.sparse:
        per_row = d * extent.density
        read = n * per_row * READ_SPARSE * k**0.5
        products = (n * per_row * per_row * PRODUCT_SPARSE + extent.n_blocks * d * d * SUM_SPARSE) * pairs
    else:
        precision = extent.itemsize / 4
        read = n * d * READ * k**0.5 * precision
        products = n * (SCALE * d + PRODUCT * d * d) * pairs * precision
    return 1e-9 * read, 1e-9 * products


def _load_seconds(extent: Extent) -> float:
    """Of one core that reads and decodes all blocks."""
    each = LOAD_SPARSE if extent.sparse else LOAD * extent.itemsize / 4
    return 1e-9 * each * extent.n_rows * extent.n_features * extent.density


def _squares_worth(extent: Extent, solver: str, max_iter: int) -> bool:
    """Whether a solver that was asked for gets its answers from sums of products: one Gram pass costs about d/10
    passes for a gradient."""
    passes = {"gd": max_iter, "newton-cholesky": math.inf, "prox-newton": math.inf}.get(solver, 50)
    return extent.sparse or extent.n_features <= 10 * (1 + passes)


def _why(chosen: str, extent: Extent, loss: Loss, *, smooth: bool) -> str:
    p = loss.n_outputs * extent.n_features
    read, products = _pass_seconds(extent, loss.n_outputs)
    passes = f"{products / read:.2g}" if products < 100 * read else f"{products / read:,.0f}"
    if chosen in ("newton-cholesky", "prox-newton"):
        return f"a Hessian of {p:,} parameters adds {passes} gradient passes to a sweep, and few sweeps are needed"
    if chosen in ("preconditioned-lbfgs", "prox-bfgs"):
        return f"a Hessian of {p:,} parameters would add {passes} gradient passes to a sweep, a sample's none"
    kind = "" if smooth else ", and the penalty has no gradient"
    return f"a Hessian of {p:,} parameters is too much work{kind}: scaled columns and gradients must do"


def check_solver(name: str, size: int, loss: Loss, penalty: Penalty) -> None:
    """Refuse a solver that cannot do what is asked.

    Raises
    ------
    ValueError
        Saying what it lacks and what to use.
    """
    solver = SOLVERS[name]
    if not penalty.smooth and not solver.proximal:
        raise ValueError(
            f"solver={name!r} needs a penalty with a gradient and cannot honour L1, groups or bounds: "
            "use 'prox-newton', 'fista', 'owlqn' (L1 alone) or 'auto'."
        )
    if solver.l1_only and not penalty.l1_only:
        raise ValueError(
            f"solver={name!r} knows L1 alone and cannot honour groups or bounds: use 'prox-newton', 'fista' or 'auto'."
        )
    instead = "lbfgs" if penalty.smooth else "fista"
    if solver.certified and size > REFUSED_PARAMETERS:
        raise ValueError(
            f"solver={name!r} needs a Hessian of {size} × {size} numbers ({size * size * 8 / 2**30:.0f} GiB): "
            f"use {instead!r} or 'auto'."
        )
    if solver.sampling and not samples_tell(loss):
        raise ValueError(
            f"solver={name!r} takes its Hessian from a row sample, which a loss with kinks, with a scale or with a "
            f"bounded domain does not allow: use {'newton-cholesky' if penalty.smooth else 'prox-newton'!r} or 'auto'."
        )


# -- words -----------------------------------------------------------------------------------------------------------


def _describe(extent: Extent) -> str:
    rows = "an unknown number of" if math.isnan(extent.n_rows) else f"{extent.n_rows:,.0f}"
    kind = f"float{8 * extent.itemsize}"
    if extent.sparse:
        share = f"density {extent.density:.2g}"
        if math.isnan(extent.density):
            share = f"a density not known, {UNKNOWN_PER_ROW:.0f} entries a row assumed"
        kind = f"sparse {kind}, {share}"
    size = "" if math.isnan(extent.nbytes) else f"{_size(extent.nbytes)} "
    blocks = f"{extent.n_blocks:,} block{'s' if extent.n_blocks != 1 else ''}"
    return f"{rows} rows × {extent.n_features:,} columns, {kind}, {size}in {blocks}"


def _residence(extent: Extent) -> str:
    if not extent.resident:
        return "do not fit and are read again in every sweep"
    return "stay on the workers" if extent.workers else "are here"


def _loading(extent: Extent) -> str:
    return "without loading the data" if extent.resident else "with reading the data in every sweep"


def _machines(extent: Extent) -> str:
    where = f"{extent.workers} workers" if extent.workers > 1 else "1 worker" if extent.workers else "this process"
    text = f"{where}, {extent.threads} thread{'s' if extent.threads != 1 else ''}"
    return text if math.isinf(extent.memory) else f"{text}, {_size(extent.memory)}"


def _size(nbytes: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:,.3g} TiB" if nbytes < 1000 else f"{nbytes:,.0f} TiB"


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{max(seconds, 0.001):.2g} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"
