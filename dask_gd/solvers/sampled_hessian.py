"""The Hessian of a row sample, its diagonal made exact: what two solvers start from instead of the whole Hessian."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..protocol import SAMPLED, Answer, Array, Conversation, Query

EXACT_SHARE = 0.005  # τ: of the diagonal that a sample cannot get wrong
REFRESH = 0.1  # a decrement that shrank less asks for the sample's Hessian at the new point …
REFRESHES = 6  # … so many times


class Calibration(NamedTuple):
    """What the sample gets wrong about the diagonal, measured at one point."""

    ratio: Array  # (p,) exact over sampled curvature
    missing: Array  # (p,) exact curvature of which the sample has none
    refreshes: int = 0

    def blend(self, hess: Array) -> Array:
        """(1 - τ) T H T + τ diag(T H T), T = diag √ratio: a rare column, of which the sample holds a few rows at the
        most, has the right scale all the same."""
        root = np.sqrt(self.ratio)
        scaled = hess * root * root[:, None]
        diagonal = np.diag(scaled) + self.missing
        scaled *= 1 - EXACT_SHARE
        np.fill_diagonal(scaled, diagonal)
        return np.asarray(scaled)


def calibrated(theta: Array, answer: Answer) -> Conversation:
    """The sample's Hessian at θ and its calibration, from the exact diagonal there."""
    sample = yield Query(theta[None], SAMPLED)
    exact, sampled = answer.hess_diag[0], np.diag(sample.hess[0])
    known = sampled > 0
    ratio = np.where(known, exact / np.where(known, sampled, 1), 1.0)
    calibration = Calibration(ratio, np.where(known, 0.0, exact))
    return calibration.blend(sample.hess[0]), calibration


def refreshed(theta: Array, calibration: Calibration, fell: float) -> Conversation:
    """The sample's Hessian at θ with a calibration of elsewhere, where the decrement ``fell`` to a share that tells of
    another curvature; else None."""
    if fell <= REFRESH or calibration.refreshes >= REFRESHES:
        return None, calibration
    sample = yield Query(theta[None], SAMPLED)
    return calibration.blend(sample.hess[0]), calibration._replace(refreshes=calibration.refreshes + 1)
