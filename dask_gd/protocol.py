"""The glossary: the plain values that solvers, objective, engine and fit loop exchange.

A fit is a conversation. A solver yields a :class:`Query`, the objective turns the queries of all fits into one kernel,
the engine runs the kernel on every :class:`Block` and adds the :class:`Sums`, the objective turns the sums into one
:class:`Answer` a fit. Between two steps a solver is fully described by its :class:`State`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from scipy.sparse import issparse

from .arrays import nbytes
from .memory import added

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

VALUE = frozenset({"value"})
GRADIENT = frozenset({"value", "grad"})
HESSIAN = frozenset({"value", "grad", "hess"})
EXPECTED = frozenset({"value", "grad", "hess", "expected"})  # with the expected Hessian, which is never indefinite
DIAGONAL = frozenset({"value", "grad", "hess_diag"})  # of the expected Hessian, where there is one
PRODUCT = frozenset({"hess_product"})  # of the same Hessian with the query's direction
SAMPLED = frozenset({"hess", "sample"})  # the Hessian on the row sample, which costs no sweep
EPOCH = frozenset({"epoch"})  # a walk over the rows of every block, all from one point, and the mean of where they end


class Rows(NamedTuple):
    """Which rows of every block a query is about: a part of an epoch's random order, or the rows that are held out.

    The order comes from (seed, epoch, block) alone, so whoever computes it, and when, changes nothing.
    """

    seed: int
    epoch: int = 0
    number: int = 0  # this part of the epoch …
    parts: int = 1  # … of so many, which share out its rows
    shuffle: bool = True  # False: in the order of the data
    share: float = 0.0  # of every block, its last rows, held out of all epochs …
    held_out: bool = False  # … True: these rows


class Pace(NamedTuple):
    """How far a walk steps at each row."""

    schedule: str = "constant"  # "constant", "optimal", "invscaling", "pa1", "pa2"
    eta: float = 0.01
    power: float = 0.5  # of "invscaling"
    alpha: float = 0.0  # of "optimal"
    average: int = 0  # the step from which iterates are averaged; 0: never


class Walk(NamedTuple):
    """Where a walk over rows stands: all that it needs to go on."""

    theta: Array  # (p,)
    average: Array  # (p,) mean of the iterates since it began
    averaged: float = 0.0  # iterates in it
    pull: Array | None = None  # (p,) how far L1 has pulled each coefficient so far …
    pulled: float = 0.0  # … of what it may have
    t: float = 1.0  # steps taken by all walks together, plus one


class Query(NamedTuple):
    """What one fit asks about: ``t`` points and what is wanted there.

    ``theta`` has shape (t, p): every row is one point in the solver's own coordinates (p = free parameters of the
    fit). ``want`` is one of :data:`VALUE`, :data:`GRADIENT`, :data:`HESSIAN`, :data:`EXPECTED`, :data:`DIAGONAL`,
    :data:`PRODUCT`, :data:`SAMPLED`, :data:`EPOCH`.
    """

    theta: Array
    want: frozenset[str] = GRADIENT
    direction: Array | None = None  # (t, p), of a PRODUCT
    rows: Rows | None = None  # None: all; the answer is of the mean over these rows
    walk: tuple[Walk, Pace] | None = None  # of an EPOCH


class Answer(NamedTuple):
    """The objective F (loss mean plus penalty) at the ``t`` points of a query; what was not wanted is empty."""

    value: Array  # (t,)
    grad: Array = np.zeros((0, 0))  # (t, p)
    hess: Array = np.zeros((0, 0, 0))  # (t, p, p)
    hess_diag: Array = np.zeros((0, 0))  # (t, p)
    hess_product: Array = np.zeros((0, 0))  # (t, p)
    walk: Any = ()  # a Walk, of an EPOCH, whose ``value`` is of the loss on the way and of the penalty at the end
    fixed: bool = False  # the Hessian is of one point, whichever was asked about


class State(Protocol):
    """What every solver state holds; a solver's own NamedTuple adds what it needs between two steps.

    A state may have a field ``finished``, its solver's own verdict in the place of the fit loop's rule: "" (go on),
    "converged", or what went wrong.
    """

    @property
    def theta(self) -> Array: ...  # (p,) the iterate
    @property
    def value(self) -> float: ...  # F(theta)
    @property
    def grad(self) -> Array: ...  # (p,) gradient at theta
    @property
    def step(self) -> float: ...  # step size just taken; 0.0 = no point along the step was lower
    @property
    def decrement(self) -> float: ...  # 0.5 gᵀB⁻¹g with the solver's own curvature model B; 0.0 where it has none


Conversation: TypeAlias = Generator[Query, Answer, Any]


class Swept(NamedTuple):
    """What a job is sent for a kernel."""

    sums: Any
    cost: SweepCost


class Replace(NamedTuple):
    """What a job yields to put ``transform(block)`` in the place of every block, for itself and for all who follow."""

    transform: Callable[[Block], Block]


Job: TypeAlias = Generator["Kernel | Replace", Any, Any]  # a fit as the engine sees it: it is sent a Swept or None


class Solver(Protocol):
    """An algorithm as pure mathematics: it asks and is answered, and never sees data."""

    standardised: bool  # True: works in coordinates where every column has mean 0 and unit variance
    proximal: bool  # True: its field ``nonsmooth`` takes a penalty that has no gradient
    sampling: bool  # True: asks for the Hessian on a row sample
    certified: bool  # True: the decrement of its states comes from a Hessian
    l1_only: bool  # True: of what has no gradient it takes L1 alone

    def init(self, theta: Array) -> Conversation: ...  # returns the first State
    def step(self, state: Any) -> Conversation: ...  # returns the next State
    def solution(self, state: Any) -> Array: ...  # the point to report once converged


class Block(NamedTuple):
    """One row chunk, held together as one value so that its parts can never part. ``None`` = not given."""

    index: int  # type: ignore[assignment]  # leaf of the summation tree
    X: Any  # (n, d) C-contiguous float array or CSR matrix; of another library than NumPy, so are y and the rest
    y: Any  # (n,) targets
    weight: Any = None  # (n,) sample weights
    offset: Any = None  # (n,) added to the margins
    fold: Any = None  # (n,) the number of the test fold that a row belongs to

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    @property
    def nbytes(self) -> int:
        parts = (self.X.data, self.X.indices, self.X.indptr) if issparse(self.X) else (self.X,)
        return sum(nbytes(a) for a in (*parts, self.y, self.weight, self.offset) if a is not None)


class Points(NamedTuple):
    """``t`` points in data coordinates: the margins of ``k`` outputs are ``(X - origin) @ W[t, k] + b[t, k]``."""

    W: Array  # (t, k, d)
    b: Array  # (t, k)
    want: frozenset[str]
    direction: tuple[Array, Array] | None = None  # (t, k, d) and (t, k), of a PRODUCT
    rows: Rows | None = None


class Stride(NamedTuple):
    """One :data:`EPOCH` in data coordinates: where the walk over every block begins, and how it steps."""

    rows: Rows
    pace: Pace
    W: Array  # (k, d)
    b: Array  # (k,)
    average_W: Array
    average_b: Array
    averaged: float
    pull: Array  # (k, d)
    pulled: float
    t: float
    l1: float
    l2: float
    fit_intercept: bool


class WalkSums(NamedTuple):
    """Where the walks over blocks ended, each times the rows it walked over."""

    rows: float
    loss: float
    W: Array  # (k, d)
    b: Array  # (k,)
    average_W: Array
    average_b: Array
    averaged: float
    pull: Array
    pulled: float

    def __add__(self, other: WalkSums) -> WalkSums:  # type: ignore[override]
        pairs: Any = zip(self, other, strict=True)
        return WalkSums._make(a + b for a, b in pairs)


class PointSums(NamedTuple):
    """Plain sums over rows for one :class:`Points`; derivatives are taken about ``origin``."""

    value: Array  # (t,)
    grad_w: Array | None = None  # (t, k, d)
    grad_b: Array | None = None  # (t, k)
    hess_ww: Array | None = None  # (t, k, d, k, d)
    hess_wb: Array | None = None  # (t, k, d, k)
    hess_bb: Array | None = None  # (t, k, k)
    diag_ww: Array | None = None  # (t, k, d)
    diag_wb: Array | None = None  # (t, k, d)
    diag_bb: Array | None = None  # (t, k)
    product_w: Array | None = None  # (t, k, d)
    product_b: Array | None = None  # (t, k)
    rows: Array | None = None  # (t,) how many, where the points name their rows

    def __add__(self, other: PointSums) -> PointSums:  # type: ignore[override]
        return PointSums._make(None if a is None else added(a, b) for a, b in zip(self, other, strict=True))


class Sums(NamedTuple):
    """What a kernel of queries returns: one part for every :class:`Points` or :class:`Stride` it was given."""

    parts: tuple[Any, ...]  # PointSums or WalkSums

    def __add__(self, other: Sums) -> Sums:  # type: ignore[override]
        return Sums(tuple(a + b for a, b in zip(self.parts, other.parts, strict=True)))


class Kernel(Protocol):
    """A picklable function of one block; ``name`` is the readable prefix of its tasks.

    X comes row by row, unless the kernel has an attribute ``any_order`` that is True: then it may lie by columns.
    """

    @property
    def name(self) -> str: ...

    def __call__(self, block: Block) -> Any: ...  # anything that can be added


class Extent(NamedTuple):
    """The shape of the data and of the machines, as far as it is known before anything is read."""

    n_rows: float  # nan: not known
    n_features: int
    n_blocks: int = 1
    itemsize: int = 8
    sparse: bool = False
    density: float = 1.0  # share of the entries that are stored; nan: not known
    workers: int = 0  # processes of a cluster; 0: this process
    threads: int = 1  # of all workers together
    memory: float = np.inf  # bytes, of all workers together
    resident: bool = True  # False: read again in every sweep

    @property
    def nbytes(self) -> float:
        """Of X; nan where that is not known."""
        per_entry = self.itemsize + 4 if self.sparse else self.itemsize
        return self.n_rows * self.n_features * self.density * per_entry


class Cut(Protocol):
    """A picklable function that cuts a block for the new blocks it is asked for."""

    def __call__(self, block: Block, targets: Sequence[int]) -> list[Block]: ...


class SweepCost(NamedTuple):
    """What one sweep cost."""

    seconds: float = 0.0
    rows: int = 0
    bytes: int = 0  # read from blocks
    tasks: int = 0

    def __add__(self, other: SweepCost) -> SweepCost:  # type: ignore[override]
        return SweepCost._make(a + b for a, b in zip(self, other, strict=True))


class Engine(Protocol):
    """Logistics: runs a kernel on every block and adds the results in a fixed tree."""

    n_sweeps: int
    cost: SweepCost  # of the latest sweep
    resident: bool  # False: every sweep reads the blocks from their source

    @property
    def extent(self) -> Extent: ...
    @property
    def n_blocks(self) -> int: ...
    def sweep(self, kernel: Kernel) -> Any: ...
    def replace(self, transform: Callable[[Block], Block]) -> None: ...
    def regroup(self, sources: Sequence[Sequence[int]], cut: Cut) -> None: ...  # new blocks from parts of the old ones
    def run(self, job: Callable[[Engine], Any], *, interactive: bool = False) -> Any: ...  # a fit, where the data are
    def close(self) -> None: ...


class Report(NamedTuple):
    """One finished iteration of one fit, as callbacks see it."""

    fit: int
    n_fits: int
    iteration: int
    max_iter: int
    objective: float
    grad_norm: float  # in standardised coordinates, relative: the number that ``tol`` is compared with
    step: float
    cost: SweepCost  # of the sweeps since the fit's previous report
    converged: bool
    tol: float | None = None


Callback: TypeAlias = Callable[[Report], Any]  # True stops the fit


class SearchReport(NamedTuple):
    """Where a search stands after a sweep for its fits, as callbacks see it."""

    stage: str  # what the sweep was for: "first sweep", "pilots", "fits", "scores" or "refit"; "done" at the end
    n_candidates: int
    n_folds: int
    alive: int  # fits that share the next sweep; of the pilots and the refit 1, which is not one of the others
    converged: int
    diverged: int
    over: int  # those two, and the fits that failed or stopped before their minimum
    n_sweeps: int
    seconds: float  # since the search began
    done: float  # share of the way, from 0 to 1: of each stage's slowest fit, stages count by their fits
    best_score: float | None  # the highest mean of the held-out scores, of the first metric; None: not known yet

    @property
    def n_fits(self) -> int:
        """Fits to splits; those to all rows are more."""
        return self.n_candidates * self.n_folds


class Pause(NamedTuple):
    """Where a fit stands between two iterations."""

    state: Any
    began: float  # F at the start
    scale: float  # what the stopping rule relates to
    iteration: int
    norm: float  # √(decrement / scale)


class Result(NamedTuple):
    """The end of one fit, in original units."""

    coef: Array  # (k, d)
    intercept: Array  # (k,)
    n_iter: int
    n_sweeps: int
    converged: bool
    message: str  # why it stopped and, where it did not converge, what to change
    history: dict[str, Array]
    rank: int | None = None
    separated: bool = False  # the classes are separable and nothing is penalised: there is no minimum
    state: Any = None  # the last, of a solver with a verdict of its own: a fit can go on from there
    pause: Pause | None = None  # where another call goes on with the same fit to the same rows, to the same bits
    exhausted: bool = False  # with more iterations than max_iter it might have ended elsewhere
