"""Learning rates that the last step tells: from s, by how much θ moved, and y, by how much the gradient turned."""

from __future__ import annotations

import numpy as np

from ..protocol import Array

FLAT = np.finfo(float).eps  # a curvature below this share of |s||y| is rounding
LONGER = 4.0  # times the last rate, where the last step showed no curvature
TURNED = 0.5  # how much of the gradient a first step may change


def barzilai_borwein(s: Array, y: Array, eta: float) -> float:
    """η = s·s / s·y: the reciprocal of the mean curvature along s (Barzilai & Borwein, *IMA J. Numerical Analysis* 8,
    1988, eq. 5). With the non-monotone rule of Grippo, Lampariello & Lucidi (1986) it is globally convergent: Raydan,
    *SIAM J. Optimization* 7 (1997); with a prox Wright, Nowak & Figueiredo (2009)."""
    curvature, size = float(s @ y), float(s @ s)
    if curvature <= FLAT * np.sqrt(size * float(y @ y)):
        return LONGER * eta
    return size / curvature


def adgd(s: Array, y: Array, eta: float, growth: float) -> float:
    """η ← η min(√(2/3 + θ), 1/√[2η²L² - 1]₊), L = ‖y‖/‖s‖, θ = η over the η before it (Malitsky & Mishchenko,
    *Adaptive Proximal Gradient Method for Convex Optimization*, NeurIPS 2024, algorithm 3): gradients alone, a prox or
    none, curvature that need be bounded only where the iterates are. The rule of their *Adaptive Gradient Descent
    without Descent* (ICML 2020), min(√(1 + θ) η, 1/2L), knows no prox and takes a quarter more sweeps."""
    moved, turned = float(np.linalg.norm(s)), float(np.linalg.norm(y))
    steep = 2 * (eta * turned / moved) ** 2 - 1 if moved > 0 else 0.0  # 0/0 bounds nothing
    return eta * min(np.sqrt(2 / 3 + growth), 1 / np.sqrt(steep) if steep > 0 else np.inf)


def safe_first(moves: Array, turns: Array, steps: Array, lower: Array) -> int | None:
    """Which of the trial ``steps``, longest first, a rule without a curvature yet may start with: the longest that is
    not uphill and whose curvature, as its own two gradients tell, allows for it: η ‖y‖/‖s‖ ≤ ½."""
    with np.errstate(invalid="ignore", over="ignore"):
        moved, turned = np.linalg.norm(moves, axis=1), np.linalg.norm(turns, axis=1)
        good = lower & (steps * turned <= TURNED * moved) & (moved > 0)
    found = np.flatnonzero(good)
    return int(found[0]) if len(found) else None
