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
