"""Searches for the best parameters, and splitters that keep data lazy and chunks even."""

from .halving import HalvingGridSearchCV, HalvingRandomSearchCV
from .hyperband import HyperbandSearchCV
from .logistic_cv import LogisticRegressionCV
from .search import GridSearchCV, RandomizedSearchCV
from .split import KFold, StratifiedKFold, TimeSeriesSplit
from .train_test import train_test_split

__all__ = [
    "GridSearchCV",
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "HyperbandSearchCV",
    "KFold",
    "LogisticRegressionCV",
    "RandomizedSearchCV",
    "StratifiedKFold",
    "TimeSeriesSplit",
    "train_test_split",
]
