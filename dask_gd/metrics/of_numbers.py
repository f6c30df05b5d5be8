"""scikit-learn's metrics of numbers under their own names, for predictions in memory and on a cluster.

Each reads true values, predictions and weights once, block by block, and adds up; only sums travel. What is in memory
and what is a dask collection may be mixed, in chunks of any length, known or not.
"""

from __future__ import annotations

from typing import Any

from .checks import hashable
from .docs import shared_docs
from .evaluate import evaluate
from .regression import (
    R2,
    D2Tweedie,
    ExplainedVariance,
    MaxError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanPinballLoss,
    MeanSquaredError,
    MeanTweedieDeviance,
    RootMeanSquaredError,
)


@shared_docs
def mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> Any:
    """The mean of squares, Σ s_i (y_i - p_i)² / Σ s_i.

    Parameters
    ----------
    {numbers_in}
    {weight}
    {multioutput}

    {float_or_targets}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import mean_squared_error
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(mean_squared_error(y_true, y_pred), 4)
    0.3125
    """
    return evaluate(MeanSquaredError(hashable(multioutput)), y_true, y_pred, sample_weight)


@shared_docs
def root_mean_squared_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> Any:
    """The root of the mean of squares, √(Σ s_i (y_i - p_i)² / Σ s_i).

    Parameters
    ----------
    {numbers_in}
    {weight}
    {multioutput}

    {float_or_targets}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import root_mean_squared_error
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(root_mean_squared_error(y_true, y_pred), 4)
    0.559
    """
    return evaluate(RootMeanSquaredError(hashable(multioutput)), y_true, y_pred, sample_weight)


@shared_docs
def mean_absolute_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> Any:
    """The mean of absolute errors, Σ s_i |y_i - p_i| / Σ s_i.

    Parameters
    ----------
    {numbers_in}
    {weight}
    {multioutput}

    {float_or_targets}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import mean_absolute_error
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(mean_absolute_error(y_true, y_pred), 4)
    0.375
    """
    return evaluate(MeanAbsoluteError(hashable(multioutput)), y_true, y_pred, sample_weight)


@shared_docs
def mean_absolute_percentage_error(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, multioutput: Any = "uniform_average"
) -> Any:
    """The mean of relative errors, Σ s_i (|y_i - p_i| / |y_i|) / Σ s_i.

    Parameters
    ----------
    {numbers_in}
    {weight}
    {multioutput}

    {float_or_targets}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import mean_absolute_percentage_error
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(mean_absolute_percentage_error(y_true, y_pred), 4)
    0.2083
    """
    return evaluate(MeanAbsolutePercentageError(hashable(multioutput)), y_true, y_pred, sample_weight)


@shared_docs
def mean_pinball_loss(
    y_true: Any, y_pred: Any, *, sample_weight: Any = None, alpha: float = 0.5, multioutput: Any = "uniform_average"
) -> Any:
    """The loss of a quantile α, Σ s_i max(α (y_i - p_i), (α - 1)(y_i - p_i)) / Σ s_i.

    Parameters
    ----------
    {numbers_in}
    {weight}
    alpha : float, default=0.5
        α in [0, 1].
    {multioutput}

    {float_or_targets}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import mean_pinball_loss
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(mean_pinball_loss(y_true, y_pred), 4)
    0.1875
    """
    return evaluate(MeanPinballLoss(hashable(multioutput), alpha), y_true, y_pred, sample_weight)


@shared_docs
def max_error(y_true: Any, y_pred: Any) -> float:
    """The largest error, max_i |y_i - p_i|.

    Parameters
    ----------
    {one_target_in}

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import max_error
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> max_error(y_true, y_pred)
    1.0
    """
    return evaluate(MaxError(), y_true, y_pred)


@shared_docs
def mean_tweedie_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None, power: float = 0) -> float:
    """The mean unit deviance of the Tweedie family with variance μ^power, Σ s_i d(y_i, p_i) / Σ s_i.

    Parameters
    ----------
    {one_target_in}
    {weight}
    power : float, default=0
        At most 0 or at least 1: 0 normal, 1 Poisson, 2 gamma, 3 inverse Gaussian.

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import mean_tweedie_deviance
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(mean_tweedie_deviance(y_true, y_pred, power=1.5), 4)
    0.1127
    """
    return evaluate(MeanTweedieDeviance(power), y_true, y_pred, sample_weight)


@shared_docs
def mean_poisson_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """The mean Poisson deviance, Σ s_i 2 (y_i log(y_i / p_i) - y_i + p_i) / Σ s_i.

    Parameters
    ----------
    {one_target_in}
    {weight}

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import mean_poisson_deviance
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(mean_poisson_deviance(y_true, y_pred), 4)
    0.1555
    """
    return evaluate(MeanTweedieDeviance(1), y_true, y_pred, sample_weight)


@shared_docs
def mean_gamma_deviance(y_true: Any, y_pred: Any, *, sample_weight: Any = None) -> float:
    """The mean gamma deviance, Σ s_i 2 (log(p_i / y_i) + y_i / p_i - 1) / Σ s_i.

    Parameters
    ----------
    {one_target_in}
    {weight}

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import mean_gamma_deviance
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(mean_gamma_deviance(y_true, y_pred), 4)
    0.0833
    """
    return evaluate(MeanTweedieDeviance(2), y_true, y_pred, sample_weight)


@shared_docs
def r2_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
    force_finite: bool = True,
) -> Any:
    """The share of the squares that is explained, 1 - Σ s_i (y_i - p_i)² / Σ s_i (y_i - ȳ)².

    Parameters
    ----------
    {numbers_in}
    {weight}
    {outputs}

    {float_or_targets}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import r2_score
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(r2_score(y_true, y_pred), 4)
    0.75
    """
    return evaluate(R2(hashable(multioutput), force_finite), y_true, y_pred, sample_weight)


@shared_docs
def explained_variance_score(
    y_true: Any,
    y_pred: Any,
    *,
    sample_weight: Any = None,
    multioutput: Any = "uniform_average",
    force_finite: bool = True,
) -> Any:
    """The share of the variance that is explained, 1 - Var(y - p) / Var(y).

    Parameters
    ----------
    {numbers_in}
    {weight}
    {outputs}

    {float_or_targets}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import explained_variance_score
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(explained_variance_score(y_true, y_pred), 4)
    0.7625
    """
    return evaluate(ExplainedVariance(hashable(multioutput), force_finite), y_true, y_pred, sample_weight)


@shared_docs
def d2_tweedie_score(y_true: Any, y_pred: Any, *, sample_weight: Any = None, power: float = 0) -> float:
    """The share of the deviance that is explained, 1 - Σ s_i d(y_i, p_i) / Σ s_i d(y_i, ȳ).

    Parameters
    ----------
    {one_target_in}
    {weight}
    power : float, default=0
        As in :func:`mean_tweedie_deviance`.

    {float}

    {end}

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_gd.metrics import d2_tweedie_score
    >>> y_true, y_pred = da.from_array([1.0, 2.0, 3.0, 4.0]), da.from_array([1.5, 2.0, 2.0, 4.0])
    >>> round(d2_tweedie_score(y_true, y_pred, power=1), 4)
    0.7079
    """
    return evaluate(D2Tweedie(power), y_true, y_pred, sample_weight)
