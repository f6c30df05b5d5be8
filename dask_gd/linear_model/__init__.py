"""scikit-learn estimators: validate, choose the nouns, call the fit loop, set the attributes."""

from .generalized import GammaRegressor, GeneralizedLinearRegressor, PoissonRegressor, TweedieRegressor
from .gradient_descent import GDClassifier, GDRegressor
from .least_squares import ElasticNet, Lasso, LinearRegression, Ridge
from .logistic import LogisticRegression
from .path import ElasticNetCV, LassoCV, enet_path, lasso_path
from .ridge_cv import RidgeCV
from .robust import HuberRegressor, QuantileRegressor
from .stochastic import SGDClassifier, SGDRegressor
from .svm import LinearSVC

__all__ = [
    "ElasticNet",
    "ElasticNetCV",
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
