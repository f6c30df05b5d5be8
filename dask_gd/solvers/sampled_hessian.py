"""The Hessian of a row sample, its diagonal made exact: what two solvers start from instead of the whole Hessian."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..protocol import SAMPLED, Answer, Array, Conversation, Query

RARE = 1.5  # exact and sampled curvature this far apart: the sample has too few rows of a column
EXACT_SHARE = 0.005  # of a rare column's curvature that the sample has no say in
FAR = 0.05  # where √(decrement / F) is above this, the Hessian still changes from step to step …
REFRESHES = 6  # … and so many times the sample's is taken again


class Calibration(NamedTuple):
    """What the sample gets wrong about the diagonal, measured at one point."""

    root: Array  # (p,) by which the rows and columns of the sample's Hessian are scaled; 1 but for rare columns
    missing: Array  # (p,) exact curvature of which the sample has none
    refreshes: int = 0

    def blend(self, hess: Array) -> Array:
        """The sample's Hessian, with rare columns on their right scale.

        Where the sample knows a column well its own curvature is left alone: it fits the rest of the matrix, which
        matters more where columns are correlated than the digits of the diagonal.
        """
        if (self.root == 1).all() and not self.missing.any():
            return hess
        scaled = hess * self.root * self.root[:, None]
        diagonal = np.diag(scaled) + self.missing
        share = np.where(self.root == 1, 1.0, np.sqrt(1 - EXACT_SHARE))
        scaled *= share * share[:, None]
        np.fill_diagonal(scaled, diagonal)
        return np.asarray(scaled)


def calibrated(theta: Array, answer: Answer) -> Conversation:
    """The sample's Hessian at θ and its calibration, from the exact diagonal there."""
    sample = yield Query(theta[None], SAMPLED)
    exact, sampled = answer.hess_diag[0], sample.hess_diag[0]
    known = sampled > 0
    ratio = np.where(known, exact / np.where(known, sampled, 1), 1.0)
    rare = (ratio > RARE) | (ratio < 1 / RARE)
    refreshes = REFRESHES if sample.fixed else 0
    calibration = Calibration(np.where(rare, np.sqrt(ratio), 1.0), np.where(known, 0.0, exact), refreshes)
    return calibration.blend(sample.hess[0]), calibration


def refreshed(theta: Array, calibration: Calibration, decrement: float, value: float) -> Conversation:
    """The sample's Hessian at θ with a calibration of elsewhere, as long as the minimum is far; else None."""
    if not decrement > FAR**2 * abs(value) or calibration.refreshes >= REFRESHES:
        return None, calibration
    sample = yield Query(theta[None], SAMPLED)
    return calibration.blend(sample.hess[0]), calibration._replace(refreshes=calibration.refreshes + 1)
