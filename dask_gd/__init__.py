"""Linear models and gradient descent at the scale of a Dask cluster, behind scikit-learn's API."""

from .exceptions import DataError, FitInterrupted, PerfectSeparationWarning
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
