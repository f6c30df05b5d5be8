"""Algorithms as pure mathematics, one a file. They yield queries, are sent answers, and never see data.

A new solver is one file and one line here.
"""

from .gradient_descent import GradientDescent
from .lbfgs import LBFGS
from .newton_cholesky import NewtonCholesky

__all__ = ["LBFGS", "SOLVERS", "GradientDescent", "NewtonCholesky"]

SOLVERS = {"gd": GradientDescent, "lbfgs": LBFGS, "newton-cholesky": NewtonCholesky}
