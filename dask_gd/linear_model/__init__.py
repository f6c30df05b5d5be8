"""scikit-learn estimators: validate, choose the nouns, call the fit loop, set the attributes."""

from .gradient_descent import GDClassifier, GDRegressor
from .least_squares import LinearRegression, Ridge
from .logistic import LogisticRegression

__all__ = ["GDClassifier", "GDRegressor", "LinearRegression", "LogisticRegression", "Ridge"]
