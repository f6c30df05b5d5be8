"""Searches for the best parameters, and splitters."""

from .search import GridSearchCV, RandomizedSearchCV

__all__ = ["GridSearchCV", "RandomizedSearchCV"]
