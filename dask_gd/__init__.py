"""Linear models and gradient descent at the scale of a Dask cluster, behind scikit-learn's API."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .exceptions import DataError, FitInterrupted, PerfectSeparationWarning
from .lazy import names_of

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

_estimator = names_of(__name__, ("linear_model", "model_selection"), __all__)


def __getattr__(name: str) -> Any:
    return import_module(f".{name}", __name__) if name in PACKAGES else _estimator(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *PACKAGES})
