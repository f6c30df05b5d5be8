"""Hyperband's schedule: brackets of successive halving, which share every step to the next budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..protocol import Array


class Bracket(NamedTuple):
    """Successive halving: many models, of which the best go on.

    ``rungs``: how many models are taken to which budget, in turn.
    """

    number: int  # rungs after the first, had the budgets no end
    rungs: tuple[tuple[int, int], ...]

    @property
    def budgets(self) -> list[int]:
        """Where its models are judged."""
        return [budget for _, budget in self.rungs]

    @property
    def n_models(self) -> int:
        """How many it begins with."""
        return self.rungs[0][0]

    @property
    def calls(self) -> int:
        """Units of budget that all its models get together."""
        spent = [0, *self.budgets]
        return sum(n * (budget - spent[i]) for i, (n, budget) in enumerate(self.rungs))


def brackets_of(max_iter: int, aggressiveness: int) -> list[Bracket]:
    """The brackets of Hyperband (Li et al., algorithm 1), that which judges first in front.

    Bracket s begins with ⌈(S + 1) ηˢ / (s + 1)⌉ models and a budget of R // ηˢ, S = ⌊log R / log η⌋.
    """
    most = 0
    while aggressiveness ** (most + 1) <= max_iter:
        most += 1
    brackets = []
    for s in range(most, -1, -1):
        n = -(-(most + 1) * aggressiveness**s // (s + 1))
        first = max_iter // aggressiveness**s
        rungs = tuple((n // aggressiveness**i, first * aggressiveness**i) for i in range(s + 1))
        brackets.append(Bracket(s, rungs))
    return brackets


class Standing(NamedTuple):
    """How a model stood when it was judged."""

    model: int
    budget: int  # that it had been taken to
    calls: int  # units of it that the model used
    score: float


class Race(NamedTuple):
    """All brackets and the numbers of their models, which may be fewer than a bracket is made for."""

    brackets: tuple[Bracket, ...]
    models: tuple[tuple[int, ...], ...]

    def run(
        self, advance: Callable[[list[int], int], Sequence[int]], score: Callable[[list[int]], Array]
    ) -> list[Standing]:
        """Take the models from budget to budget; how they stood whenever they were judged, in turn.

        Parameters
        ----------
        advance : callable
            ``advance(models, budget)`` takes models of all brackets to a budget; what each of them has used of it.
        score : callable
            ``score(models)``: the higher the better, nan the worst of all.
        """
        alive = [list(models) for models in self.models]
        standings: list[Standing] = []
        for budget in sorted({budget for bracket in self.brackets for budget in bracket.budgets}):
            running = [
                model
                for bracket, models in zip(self.brackets, alive, strict=True)
                if budget <= bracket.budgets[-1]
                for model in models
            ]
            calls = dict(zip(running, advance(running, budget), strict=True))
            judging = [i for i, bracket in enumerate(self.brackets) if budget in bracket.budgets]
            judged = [model for i in judging for model in alive[i]]
            scores = dict(zip(judged, map(float, score(judged)), strict=True))
            standings += [Standing(model, budget, calls[model], scores[model]) for model in judged]
            for i in judging:
                rungs = self.brackets[i].rungs
                after = self.brackets[i].budgets.index(budget) + 1
                keep = rungs[after][0] if after < len(rungs) else 0
                alive[i] = best_of(alive[i], [scores[model] for model in alive[i]])[:keep]
        return standings


def best_of(models: Sequence[Any], scores: Sequence[float]) -> list[Any]:
    """The models, the best first; those without a score come last, and equal ones in the order they have."""
    order = np.lexsort((-np.nan_to_num(np.asarray(scores, dtype=float)), np.isnan(scores)))
    return [models[i] for i in order]


def latest(standings: Sequence[Standing]) -> list[Standing]:
    """How each model stood last, by number."""
    last = {standing.model: standing for standing in standings}
    return [last[model] for model in sorted(last)]


def winner(standings: Sequence[Standing]) -> int:
    """The number of the model of the highest score; of equal ones that with the most calls, then the first. Where none
    has a score it is the first."""
    scored = [standing for standing in latest(standings) if not np.isnan(standing.score)]
    if not scored:
        return latest(standings)[0].model
    return max(scored, key=lambda s: (s.score, s.calls, -s.model)).model
