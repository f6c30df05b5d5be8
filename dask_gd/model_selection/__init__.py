"""Choosing models: splitters that keep dask data lazy and their chunks even."""

from .split import KFold, StratifiedKFold, TimeSeriesSplit
from .train_test import train_test_split

__all__ = ["KFold", "StratifiedKFold", "TimeSeriesSplit", "train_test_split"]
