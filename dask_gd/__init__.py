"""Linear models and gradient descent at the scale of a Dask cluster, behind scikit-learn's API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .exceptions import DataError, FitInterrupted, PerfectSeparationWarning

if TYPE_CHECKING:
    from .linear_model import (
        ElasticNet,
        ElasticNetCV,
        GammaRegressor,
        GDClassifier,
        GDRegressor,
        GeneralizedLinearRegressor,
        HuberRegressor,
        Lasso,
        LassoCV,
        LinearRegression,
        LinearSVC,
        LogisticRegression,
        PoissonRegressor,
        QuantileRegressor,
        Ridge,
        RidgeCV,
        SGDClassifier,
        SGDRegressor,
        TweedieRegressor,
        enet_path,
        lasso_path,
    )
    from .model_selection import LogisticRegressionCV

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "ElasticNet",
    "ElasticNetCV",
    "FitInterrupted",
    "GDClassifier",
    "GDRegressor",
    "GammaRegressor",
    "GeneralizedLinearRegressor",
    "HuberRegressor",
    "Lasso",
    "LassoCV",
    "LinearRegression",
    "LinearSVC",
    "LogisticRegression",
    "LogisticRegressionCV",
    "PerfectSeparationWarning",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "SGDClassifier",
    "SGDRegressor",
    "TweedieRegressor",
    "enet_path",
    "lasso_path",
]


PACKAGES = ("linear_model", "metrics", "model_selection")


def __getattr__(name: str) -> Any:
    """The estimators, when one is asked for: a worker runs kernels, for which it needs none of scikit-learn, pandas and
    Arrow, which take 125 MB of its memory."""
    if name in PACKAGES:
        return import_module(f".{name}", __name__)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "model_selection" if name == "LogisticRegressionCV" else "linear_model"
    return getattr(import_module(f".{home}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *PACKAGES})
