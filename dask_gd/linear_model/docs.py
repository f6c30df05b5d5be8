"""Parameters and attributes that many estimators have, described once."""

from __future__ import annotations

from typing import TypeVar

SHARED = {
    "fit_intercept": """fit_intercept : bool, default=True
    False: b = 0.""",
    "standardize": """standardize : bool, default=False
    True: the penalty is on the coefficients of columns scaled to unit variance (weighted, ddof 0). Only what is
    penalised changes: X is neither copied nor shifted, and coefficients are reported in original units.
penalty_factor : float or array-like of shape (d,), default=None
    f_j ≥ 0, multiplies the penalty of each coefficient; 0 leaves it free.""",
    "bounds": """lower_bounds : float or array-like of shape (d,), default=None
    Lower bounds of the coefficients in original units; None: none.
upper_bounds : float or array-like of shape (d,), default=None
    Upper bounds, likewise.""",
    "positive": """positive : bool, default=False
    True: coefficients are not below 0.""",
    "precompute": """precompute : bool or "auto", default="auto"
    Whether one sweep for the sums of products X'X and X'y answers every question of every solver, so that no iteration
    costs another; one more sweep refines the last digits where the columns are ill-conditioned. "auto": where d² sums
    are cheap, up to 4,000 columns. False: every iteration is a sweep.""",
    "solver": """solver : str, default="auto"
    "newton-cholesky" (few sweeps, a p × p Hessian), "preconditioned-lbfgs" (a few more, the Hessian of a row sample in
    its place), "lbfgs" (more, memory for a few vectors) or "newton-cg" (products with the Hessian); for penalties with
    L1, groups or bounds "prox-newton", "prox-bfgs" and "fista" in their place, for L1 alone "owlqn" too. "auto" weighs
    sweeps against seconds; ``explain`` says why. A solver that cannot do what is asked is refused.
max_iter : int, default=1000
    Iterations at the most.
tol : float, "statistical" or None, default=1e-8
    The fit stops when √((F - F*) / F at the start), as estimated from gradient, prox and curvature, is at most this.
    No unit of X or y and no repetition of the rows changes it. "statistical", of a likelihood: as soon as every
    coefficient is within 0.01 of its standard error of the minimum. None: always ``max_iter`` iterations.
warm_start : bool, default=False
    Start from the last fit's coefficients.
verbose : int, default=0
    Above 0: print a line an iteration.""",
    "fitted": """n_iter_, n_sweeps_ : int
    Iterations, and passes over the data including the one for the moments.
converged_ : bool
history_ : dict of ndarray of shape (n_iter_,)
    "objective" (of the mean form), "grad_norm", "step", "seconds", "rows", "bytes", "tasks" of every iteration.
solver_ : str
plan_ : Plan
    What ``explain`` says, with what the data showed and what the fit took; prints as text.
n_features_in_, feature_names_in_
    As in scikit-learn.""",
    "sgd_modes": """``mode="local"``: every chunk (a fixed group of chunks where they are small; chunks that are not
alike exchange rows first, once) walks over its own rows, one at a time, in compiled code; after each epoch the
models are averaged, weighted by their rows, and all go on from there. One chunk is plain stochastic gradient descent,
the same updates as scikit-learn's. ``mode="synchronous"``: one mini-batch of all chunks a step, the gradient added up
over all workers: what one machine would do with that mini-batch, at the price of one sweep a step. In both modes
the same chunks and seed give the same bits on any number of workers. Sparse rows step as dense ones do (scikit-learn
takes a hundredth of the step for their intercept). Scale the columns first.""",
    "sgd": """penalty : {"l2", "l1", "elasticnet", None}, default="l2"
alpha : float, default=1e-4
    α ≥ 0; also sets the rate "optimal".
l1_ratio : float, default=0.15
    ρ in [0, 1], of "elasticnet" alone; 1 for "l1" and 0 for "l2".
fit_intercept : bool, default=True
    False: b = 0.
max_iter : int, default=1000
    Epochs at the most.
tol : float or None, default=1e-3
    An epoch is an improvement where the training objective (the mean loss on the way and the penalty; with
    ``early_stopping`` the held-out loss) is at least this below the best before. None: always ``max_iter`` epochs.
shuffle : bool, default=True
    A new order of the rows of every chunk in every epoch, from (seed, epoch, chunk). False: the order of the data.
verbose : int, default=0
    Above 0: print a line an epoch.
epsilon : float, default=0.1
    ε ≥ 0 of the losses that have one, in units of y.
random_state : int, RandomState or None, default=None
    Seeds all that is random. An int: the same bits every time; None: drawn once a fit.""",
    "sgd_rest": """early_stopping : bool, default=False
    True: judge the epochs by the loss of rows that are held out of them (scikit-learn: by their score).
validation_fraction : float, default=0.1
    The share of every chunk that is held out, in (0, 1).
n_iter_no_change : int, default=5
    Epochs without an improvement after which the fit stops.
warm_start : bool, default=False
    Start from the last fit's coefficients.
average : bool or int, default=False
    True: report the mean of all iterates; an int: of those from that step on. (With L1 scikit-learn's is another.)
mode : {"local", "synchronous"}, default="local"
batch_size : int or None, default=None
    Rows of a mini-batch over all chunks, of "synchronous" alone; None: a hundredth of the rows.
momentum : float, default=0.0
    μ in [0, 1) of v ← μv - ηg, w ← w + v, of "synchronous" alone.
nesterov : bool, default=False
    True: the gradient g at w + μv.""",
    "sgd_fitted": """t_ : float
    Steps of the learning rate's clock plus one: rows walked over by all chunks ("local"), mini-batches ("synchronous").
n_iter_, n_sweeps_ : int
    Epochs, and passes over the data including the one for the moments; a mini-batch counts as one.
converged_ : bool
history_ : dict of ndarray of shape (n_iter_,)
    "objective" (what ``tol`` judges), "grad_norm" (NaN: no gradient is whole), "step" (the last learning rate),
    "seconds", "rows", "bytes", "tasks" of every epoch.
solver_ : str
    "local-sgd" or "sgd".
n_features_in_, feature_names_in_
    As in scikit-learn.""",
}
T = TypeVar("T", bound=type)


def shared_docs(cls: T) -> T:
    """Put the shared descriptions in the place of lines like ``{solver}`` of a class's docstring."""
    assert cls.__doc__ is not None
    lines = []
    for line in cls.__doc__.splitlines():
        name = line.strip()
        if name.startswith("{") and name.endswith("}"):
            lines += [f"    {part}" if part else "" for part in SHARED[name[1:-1]].splitlines()]
        else:
            lines.append(line)
    cls.__doc__ = "\n".join(lines)
    return cls
