"""Which solver a fit uses when the user leaves the choice to us."""

from __future__ import annotations

NEWTON_PARAMETERS = 300  # up to here a Hessian costs a few gradient passes and saves tens
NEWTON_FLOPS = 2e9  # a Hessian cheaper than this is always worth it


def choose_solver(n_rows: float, n_features: int, n_outputs: int) -> str:
    """Newton where the Hessian is cheap, L-BFGS elsewhere.

    Newton-Cholesky needs about 6 sweeps whatever the conditioning, L-BFGS 35 to 170; a Hessian of p parameters costs
    about p/20 gradient passes and p² memory (measured; see the architecture page).
    """
    p = (n_features + 1) * n_outputs
    if p <= NEWTON_PARAMETERS or (p <= 4000 and n_rows * p * p + p**3 <= NEWTON_FLOPS * 5):
        return "newton-cholesky"
    return "lbfgs"
