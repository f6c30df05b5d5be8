"""Contests: our fit and its rivals' take turns on the same data, and medians, objectives and goals become lines.

A row of the table is a generator of contests, so that it can make its data and its cluster, lend them to a contest or
two, and clear away::

    def ridge(scale: float) -> Iterator[Contest]:
        X, y = ...  # of a size times ``scale``
        yield Contest("ridge, ...", lambda: Ridge().fit(X, y), [Rival("scikit-learn", ..., Goal("speedup", 3.0))])
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import median, seconds, table

AS_LOW = 1e-8  # an objective is no higher than another if it is not by more than this, relatively: the data's rounding
AS_NEAR = 1e-6  # a solver that stopped further above ours than this has not finished, and its seconds count for little
LONG, REST = 0.02, 0.15  # seconds of a call after which there is a rest, and of that
PATIENCE = 20.0  # seconds after which a contestant sits out the rounds that are left


class Goal(NamedTuple):
    """What a pair of medians shall show."""

    kind: str  # "speedup": theirs / ours at least; "cost": ours / theirs at most; "excess": ours - theirs at most
    bound: float

    def value(self, ours: float, theirs: float) -> float:
        return {"speedup": theirs / ours, "cost": ours / theirs, "excess": ours - theirs}[self.kind]

    def met(self, value: float) -> bool:
        return value >= self.bound if self.kind == "speedup" else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.kind == 'speedup' else '≤'} {self.bound:g}{' s' if self.kind == 'excess' else ''}"


class Rival(NamedTuple):
    """One that ours is held against."""

    name: str
    run: Callable[[], Any] | None  # None: it cannot run here
    goal: Goal | None = None
    group: str = ""  # of those with one name only the fastest that reaches the minimum counts for the goal
    warm_up: Callable[[], Any] | None = None  # in place of a first call that is not counted
    missing: str = ""  # why it cannot run
    count: Callable[[Any], float] | None = None  # from our result: so many of these calls are held against ours


class Contest(NamedTuple):
    """Calls to be timed. ``objective`` takes what a call returned; it may return several numbers, as of a path."""

    what: str
    ours: Callable[[], Any]
    rivals: Sequence[Rival]
    objective: Callable[[Any], Any] | None = None
    factor: int = 1  # so many times the rounds of others, where a round is short
    figure: Callable[[Any], float] | None = None  # of a result, where not the seconds of a call are compared
    unit: str = "s"  # or "B"


Row = Callable[[float], Generator[Contest]]


@dataclass
class Line:
    """Ours against one rival."""

    row: str
    what: str
    rival: str
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    unit: str = "s"
    kind: str = "speedup"
    bound: float | None = None
    difference: float | None = None  # of the objectives, relative to the rival's; the largest of several
    sweeps: int | None = None
    missing: str = ""

    @property
    def value(self) -> float:
        return Goal(self.kind, 0.0).value(median(self.ours), median(self.theirs))

    @property
    def goal(self) -> Goal | None:
        return None if self.bound is None else Goal(self.kind, self.bound)

    @property
    def met(self) -> bool | None:
        """Whether goal and objective are reached; None where there is no goal or no measurement."""
        if self.goal is None or self.missing:
            return None
        return self.goal.met(self.value) and (self.difference is None or self.difference <= AS_LOW)


def measure(row: str, contest: Contest, repeats: int, patience: float = PATIENCE) -> list[Line]:
    """All lines of one contest."""
    present = [rival for rival in contest.rivals if rival.run is not None]
    # Without anybody to be held against, ours is not run either.
    figures, results = take_turns(contest, present, repeats, patience) if present else ({}, {})
    values = {}
    if contest.objective is not None:
        values = {name: np.atleast_1d(contest.objective(result)) for name, result in results.items()}
    far = {name: excess(value, values[""]) > AS_NEAR for name, value in values.items()}
    judged = hardest(present, figures, far)
    sweeps = getattr(results.get(""), "n_sweeps_", None)
    lines = []
    for rival in contest.rivals:
        line = Line(row, contest.what, rival.name, unit=contest.unit, sweeps=sweeps, missing=rival.missing)
        if rival.goal is not None:
            line.kind = rival.goal.kind
            line.bound = rival.goal.bound if rival.run is None or rival.name in judged else None
        if rival.run is not None:
            line.ours, line.theirs = figures[""], figures[rival.name]
            if values:
                line.difference = excess(values[""], values[rival.name])
        lines.append(line)
    return lines


def take_turns(
    contest: Contest, present: Sequence[Rival], repeats: int, patience: float
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """The figures of ours (called "") and of every rival, and what each call returned last.

    A call of each comes first that is not counted. Threads of OpenBLAS look for more work for a tenth of a second after
    they had much, on cores that whoever is next needs: they are left to fall asleep.
    """
    calls = {"": contest.ours} | {rival.name: rival.run for rival in present if rival.run is not None}
    warm = {rival.name: rival.warm_up for rival in present}
    figures: dict[str, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    results = {name: (warm.get(name) or call)() for name, call in calls.items()}
    took = LONG
    for turn in range(contest.factor * repeats):
        for name, call in calls.items():
            if not turn or spent[name] < patience:
                took, results[name] = seconds(call, REST if took >= LONG else 0.0)
                spent[name] += took
                figures[name].append(took if contest.figure is None else contest.figure(results[name]))
    for rival in present:
        if rival.count is not None:
            figures[rival.name] = [rival.count(results[""]) * figure for figure in figures[rival.name]]
    return figures, results


def excess(values: np.ndarray, others: np.ndarray) -> float:
    """By how much values are above others, relatively; of several the most."""
    return float(np.max((values - others) / np.abs(others)))


def hardest(rivals: Sequence[Rival], figures: dict[str, list[float]], far: dict[str, bool]) -> set[str]:
    """The fastest of each group among those that came near enough, and everyone who is in none."""
    groups: dict[str, list[str]] = {}
    for rival in rivals:
        groups.setdefault(rival.group or rival.name, []).append(rival.name)
    return {min(names, key=lambda name: (far.get(name, False), median(figures[name]))) for names in groups.values()}


HEAD = ("what", "beside", "ours", "theirs", "ratio", "goal", "met", "objective", "sweeps")


def cells(line: Line) -> list[str]:
    """One line of the table as text."""
    goal = "" if line.goal is None else str(line.goal)
    if line.missing:
        return [line.what, line.rival, "", line.missing, "", goal, "", "", ""]
    met = {None: "", True: "yes", False: "no"}[line.met]
    value = f"{line.value:.2f} s" if line.kind == "excess" else f"{line.value:.3g}"
    difference = "" if line.difference is None else f"{line.difference:+.0e}"
    sweeps = "" if line.sweeps is None else str(line.sweeps)
    return [
        line.what,
        line.rival,
        *(measured(median(v), line.unit) for v in (line.ours, line.theirs)),
        value,
        goal,
        met,
        difference,
        sweeps,
    ]


def measured(value: float, unit: str) -> str:
    """A figure of three digits with its unit."""
    if unit == "s":
        value, unit = (value, "s") if value >= 1 else (1e3 * value, "ms")
    elif unit == "B":
        value, unit = value / 2**20, "MiB"
    return f"{value:#.3g}".rstrip(".") + f" {unit}"


def as_text(lines: Sequence[Line]) -> str:
    """The table for a terminal."""
    return f"{table(HEAD, [cells(line) for line in lines])}\n\n{score(lines)}"


def score(lines: Sequence[Line]) -> str:
    """How many goals are met."""
    judged = [line.met for line in lines if line.met is not None]
    return f"{sum(judged)} of {len(judged)} goals are met."


def as_rst(results: Results) -> str:
    """The table as reStructuredText, under the machine it was measured on."""
    text = ["Measured on: " + "; ".join(results.machine.splitlines()) + ".", "", score(results.lines), ""]
    text += [".. list-table::", "   :header-rows: 1", ""]
    before = ""
    for row in [list(HEAD), *(cells(line) for line in results.lines)]:
        row[0], before = ("" if row[0] == before else row[0]), row[0]
        row[6] = f"**{row[6]}**" if row[6] == "no" else row[6]
        text += [f"   {'  -' if i else '* -'} {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(text) + "\n"


@dataclass
class Results:
    """Everything that a run found out; kept as JSON."""

    machine: str
    lines: list[Line]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        kept = json.loads(path.read_text())
        return cls(kept["machine"], [Line(**line) for line in kept["lines"]])

    def replace(self, lines: Sequence[Line]) -> None:
        """Lines of a row that was measured again take the place of its old ones."""
        again = {line.row for line in lines}
        first = next((i for i, line in enumerate(self.lines) if line.row in again), len(self.lines))
        before = [line for line in self.lines[:first]]
        after = [line for line in self.lines[first:] if line.row not in again]
        self.lines = [*before, *lines, *after]
