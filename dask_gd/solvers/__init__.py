"""Algorithms as pure mathematics, one a file. They yield queries, are sent answers, and never see data.

A new solver is one file and one line here.
"""

from typing import Any

from .fista import FISTA
from .gradient_descent import GradientDescent
from .lbfgs import LBFGS
from .newton_cg import NewtonCG
from .newton_cholesky import NewtonCholesky
from .owlqn import OWLQN
from .preconditioned_lbfgs import PreconditionedLBFGS
from .prox_bfgs import ProxBFGS
from .prox_newton import ProxNewton

__all__ = [
    "FISTA",
    "LBFGS",
    "OWLQN",
    "SOLVERS",
    "GradientDescent",
    "NewtonCG",
    "NewtonCholesky",
    "PreconditionedLBFGS",
    "ProxBFGS",
    "ProxNewton",
]

SOLVERS: dict[str, Any] = {
    "fista": FISTA,
    "gd": GradientDescent,
    "lbfgs": LBFGS,
    "newton-cg": NewtonCG,
    "newton-cholesky": NewtonCholesky,
    "owlqn": OWLQN,
    "preconditioned-lbfgs": PreconditionedLBFGS,
    "prox-bfgs": ProxBFGS,
    "prox-newton": ProxNewton,
}
