"""What becomes of fits that fail in a search, in scikit-learn's words."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from sklearn.exceptions import FitFailedWarning


def warn_of_failures(out: Sequence[dict[str, Any]], error_score: Any) -> None:
    """One warning for all fits that failed.

    Parameters
    ----------
    out : sequence of dict
        Of each fit, with the "fit_error" (None: there was none).
    error_score : float
        What they are scored with.

    Raises
    ------
    ValueError
        All of them failed.
    """
    errors = [entry["fit_error"] for entry in out if entry["fit_error"] is not None]
    if not errors:
        return
    line = "-" * 80
    summary = "\n".join(
        f"{line}\n{n} fits failed with the following error:\n{error}" for error, n in Counter(errors).items()
    )
    if len(errors) == len(out):
        raise ValueError(
            f"\nAll the {len(out)} fits failed.\nIt is very likely that your model is misconfigured.\nYou can try to "
            f"debug the error by setting error_score='raise'.\n\nBelow are more details about the failures:\n{summary}"
        )
    warnings.warn(
        f"\n{len(errors)} fits failed out of a total of {len(out)}.\nThe score on these train-test partitions for "
        f"these parameters will be set to {error_score}.\nIf these failures are not expected, you can try to "
        f"debug them by setting error_score='raise'.\n\nBelow are more details about the failures:\n{summary}",
        FitFailedWarning,
        stacklevel=2,
    )
