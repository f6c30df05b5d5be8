"""Pointwise losses: ℓ(y, η) and its derivatives in the margin η. A loss is one class with one line to register it.

Conventions. Rows are the last axis: ``y`` has shape (n,), the margins ``eta`` have shape (..., n) for a loss of one
output and (..., K, n) for a loss of K outputs; values have shape (..., n), derivatives the shape of ``eta``. A loss
never sees X, coefficients, weights or Dask. Formulas: McCullagh & Nelder, *Generalized Linear Models* (1989), ch. 2
and 4; Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning* (2009), sec. 4.4, 10.6 and 12.
"""

from .base import LOSSES, Custom, Derivatives, Interval, Loss, register
from .classification import Hinge, Logistic, ModifiedHuber, OneVsRest, Signed, Softmax, SquaredHinge
from .families import FAMILIES, LINKS, GeneralizedLinear
from .regression import (
    EpsilonInsensitive,
    Huber,
    HuberWithScale,
    Pinball,
    Squared,
    SquaredEpsilonInsensitive,
)

__all__ = [
    "FAMILIES",
    "LINKS",
    "LOSSES",
    "Custom",
    "Derivatives",
    "EpsilonInsensitive",
    "GeneralizedLinear",
    "Hinge",
    "Huber",
    "HuberWithScale",
    "Interval",
    "Logistic",
    "Loss",
    "ModifiedHuber",
    "OneVsRest",
    "Pinball",
    "Signed",
    "Softmax",
    "Squared",
    "SquaredEpsilonInsensitive",
    "SquaredHinge",
    "register",
]
