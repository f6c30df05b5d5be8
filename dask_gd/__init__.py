"""Linear models and gradient descent at the scale of a Dask cluster, behind scikit-learn's API."""

from .exceptions import DataError, FitInterrupted
from .linear_model import GDClassifier, GDRegressor, LinearRegression, LogisticRegression, Ridge

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "FitInterrupted",
    "GDClassifier",
    "GDRegressor",
    "LinearRegression",
    "LogisticRegression",
    "Ridge",
]
