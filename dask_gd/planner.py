"""Which solver a fit uses when the user leaves the choice to us, and which choices of the user's cannot work."""

from __future__ import annotations

from .losses import Loss
from .penalties import Penalty
from .solvers import SOLVERS

NEWTON_PARAMETERS = 300  # up to here a Hessian costs a few gradient passes and saves tens
NEWTON_FLOPS = 2e9  # a Hessian cheaper than this is always worth it
MAX_PARAMETERS = 4000  # of a Hessian, p² numbers in every partial sum
REFUSED_PARAMETERS = 20_000  # 3 GiB a Hessian


def choose_solver(n_rows: float, size: int, smooth: bool = True) -> str:
    """Newton where a Hessian is cheap; else L-BFGS, or FISTA for a penalty that is not smooth.

    ``size`` counts all coefficients, also those that are held at 0: the Hessian has them too.
    Newton needs about 6 sweeps whatever the conditioning, L-BFGS 35 to 170; a Hessian of p parameters costs about
    p/20 gradient passes and p² memory (measured; see the architecture page).
    """
    p = size
    cheap = p <= NEWTON_PARAMETERS or (p <= MAX_PARAMETERS and n_rows * p * p + p**3 <= NEWTON_FLOPS * 5)
    if not smooth:  # no first-order method comes near on correlated columns, so the line is drawn later
        return "prox-newton" if cheap or p <= MAX_PARAMETERS else "fista"
    return "newton-cholesky" if cheap else "lbfgs"


def check_solver(name: str, size: int, loss: Loss, penalty: Penalty) -> None:
    """Refuse a solver that cannot do what is asked.

    Raises
    ------
    ValueError
        Saying what it lacks and what to use.
    """
    if not penalty.smooth and not SOLVERS[name].proximal:
        raise ValueError(
            f"solver={name!r} needs a penalty with a gradient and cannot honour L1, groups or bounds: "
            "use 'prox-newton', 'fista', 'owlqn' (L1 alone) or 'auto'."
        )
    if getattr(SOLVERS[name], "l1_only", False) and not (penalty.separable and not getattr(penalty, "bounded", False)):
        raise ValueError(
            f"solver={name!r} knows L1 alone and cannot honour groups or bounds: use 'prox-newton', 'fista' or 'auto'."
        )
    if name in ("newton-cholesky", "prox-newton") and size > REFUSED_PARAMETERS:
        raise ValueError(
            f"solver={name!r} needs a Hessian of {size} × {size} numbers ({size * size * 8 / 2**30:.0f} GiB): "
            f"use {'lbfgs' if penalty.smooth else 'fista'!r} or 'auto'."
        )
