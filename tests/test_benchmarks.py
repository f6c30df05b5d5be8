"""The runner of the benchmarks on toy rows: turns, medians, goals and tables; no real clock is looked at."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "benchmarks"))

import common
import contest
import run
from contest import Contest, Goal, Line, Results, Rival, as_rst, as_text, measure
from rows import passes


class Stopwatch:
    """A clock that a call turns by as many seconds as it says, and the order of the calls."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, []
        monkeypatch.setattr(common.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(common.gc, "collect", lambda: 0)
        monkeypatch.setattr(common.time, "sleep", lambda seconds: None)

    def takes(self, name, *seconds, result=None):
        left = list(seconds)

        def call():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return result

        return call


@pytest.fixture
def clock(monkeypatch):
    return Stopwatch(monkeypatch)


def test_contestants_take_turns_and_the_first_call_does_not_count(clock):
    rival = Rival("theirs", clock.takes("t", 99.0, 8.0, 4.0, 6.0))
    (line,) = measure("row", Contest("what", clock.takes("o", 99.0, 3.0, 1.0, 2.0), [rival]), repeats=3)
    assert clock.calls == ["o", "t"] * 4
    assert (line.ours, line.theirs) == ([3.0, 1.0, 2.0], [8.0, 4.0, 6.0])
    assert line.value == 3.0
    assert line.goal is None
    assert line.met is None


def test_who_is_slow_sits_out_and_may_warm_up_with_less(clock):
    rivals = [
        Rival("slow", clock.takes("slow", 30.0), warm_up=clock.takes("little", 0.1)),
        Rival("fast", clock.takes("fast", 1.0)),
    ]
    slow, fast = measure("row", Contest("what", clock.takes("ours", 1.0), rivals), repeats=4, patience=10.0)
    assert clock.calls[:3] == ["ours", "little", "fast"]
    assert (len(slow.theirs), len(fast.theirs), len(fast.ours)) == (1, 4, 4)


@pytest.mark.parametrize(
    ("goal", "theirs", "value", "met"),
    [
        (Goal("speedup", 2.0), 4.0, 2.0, True),
        (Goal("speedup", 2.5), 4.0, 2.0, False),
        (Goal("cost", 0.5), 4.0, 0.5, True),
        (Goal("cost", 0.4), 4.0, 0.5, False),
        (Goal("excess", 0.5), 1.5, 0.5, True),
        (Goal("excess", 0.5), 1.0, 1.0, False),
    ],
)
def test_goals(clock, goal, theirs, value, met):
    (line,) = measure("row", Contest("", clock.takes("o", 2.0), [Rival("r", clock.takes("r", theirs), goal)]), 1)
    assert (line.value, line.met) == (value, met)


def test_only_the_fastest_of_a_group_counts(clock):
    goal = Goal("speedup", 3.0)
    rivals = [
        Rival("a", clock.takes("a", 5.0), goal, "library"),
        Rival("b", clock.takes("b", 2.0), goal, "library"),
        Rival("c", clock.takes("c", 9.0), goal),
    ]
    lines = measure("row", Contest("what", clock.takes("o", 1.0), rivals), repeats=1)
    assert [line.met for line in lines] == [None, False, True]


def test_who_stopped_early_is_not_the_fastest(clock):
    goal = Goal("speedup", 3.0)
    rivals = [
        Rival("hasty", clock.takes("h", 2.0, result=1.01), goal, "library"),
        Rival("right", clock.takes("r", 4.0, result=1.0), goal, "library"),
    ]
    hasty, right = measure("row", Contest("what", clock.takes("o", 1.0, result=1.0), rivals, lambda found: found), 1)
    assert (hasty.met, right.met) == (None, True)
    assert hasty.difference == pytest.approx(-0.01, rel=0.1)


@pytest.mark.parametrize(("ours", "theirs", "met"), [(1.0, 1.0, True), (0.9, 1.0, True), (1.1, 1.0, False)])
def test_a_higher_objective_is_no_win(clock, ours, theirs, met):
    rival = Rival("r", clock.takes("r", 9.0, result=theirs), Goal("speedup", 2.0))
    (line,) = measure("row", Contest("what", clock.takes("o", 1.0, result=ours), [rival], lambda found: found), 1)
    assert line.difference == pytest.approx(ours / theirs - 1)
    assert line.met is met


def test_the_worst_point_of_a_path_counts(clock):
    rival = Rival("r", clock.takes("r", 1.0, result=np.array([2.0, -4.0])))
    ours = clock.takes("o", 1.0, result=np.array([1.0, -3.0]))
    (line,) = measure("row", Contest("what", ours, [rival], lambda found: found), repeats=1)
    assert line.difference == 0.25


def test_figures_that_are_no_seconds(clock):
    """As of memory; and a reference that counts as often as ours had sweeps."""

    class Model:
        n_sweeps_ = 3

    bytes_ours, limit = clock.takes("o", 1.0, result=2**20), Rival("limit", clock.takes("r", 1.0, result=2**21))
    (line,) = measure("row", Contest("memory", bytes_ours, [limit], figure=float, unit="B"), repeats=1)
    assert (line.ours, line.theirs) == ([2.0**20], [2.0**21])
    assert "1.00 MiB" in as_text([line])
    read = Rival("its sweeps × reading", clock.takes("r", 2.0), Goal("cost", 1.2), count=lambda model: model.n_sweeps_)
    (line,) = measure("row", Contest("streamed", clock.takes("o", 9.0, result=Model()), [read]), repeats=2)
    assert (line.theirs, line.value, line.sweeps, line.met) == ([6.0, 6.0], 1.5, 3, False)


def test_a_peer_that_is_not_there_is_named(clock):
    rival = Rival("peer", None, Goal("speedup", 2.0), missing="peer is not installed")
    (line,) = measure("row", Contest("what", clock.takes("o", 1.0), [rival], lambda found: found), repeats=1)
    assert line.met is None
    assert not clock.calls  # nobody to be held against
    assert "peer is not installed" in as_text([line])
    assert line.ours == []


def test_results_are_kept_and_replaced_row_by_row(tmp_path):
    def line(row, seconds):
        return Line(row, f"what {row}", "rival", [seconds], [6.0], bound=2.0, difference=-1e-9, sweeps=4)

    path = tmp_path / "results.json"
    Results("a machine", [line("a", 1.0), line("b", 2.0), line("b", 3.0), line("c", 4.0)]).write(path)
    results = Results.read(path)
    assert results.lines[1] == line("b", 2.0)
    results.replace([line("b", 5.0)])
    results.replace([line("d", 6.0)])
    assert [found.ours for found in results.lines] == [[1.0], [5.0], [4.0], [6.0]]


def test_the_table_goes_between_the_markers_of_a_page(tmp_path, capsys):
    results = tmp_path / "results.json"
    line = Line("a", "what a", "rival", [0.0125], [1.0], bound=8.0, difference=0.0, sweeps=4)
    Results("a machine", [line]).write(results)
    assert run.main(["--table", str(results)]) == 0
    text = capsys.readouterr().out
    for cell in ("what a", "rival", "12.5 ms", "1.00 s", "80", "≥ 8", "yes", "+0e+00", "4"):
        assert f" {cell}\n" in text
    page = tmp_path / "page.rst"
    page.write_text(f"before\n\n{run.BEGIN}\n\nold\n\n{run.END}\n\nafter\n")
    for _ in range(2):
        assert run.main(["--table", str(results), "--into", str(page)]) == 0
        assert page.read_text() == f"before\n\n{run.BEGIN}\n\n{as_rst(Results.read(results))}\n{run.END}\n\nafter\n"
    with pytest.raises(SystemExit, match="lacks"):
        run.between_markers("nothing", "text")


def test_a_row_that_fails_is_a_line_and_the_run_goes_on(clock, monkeypatch, tmp_path, capsys):
    closed = []

    def toy(scale):
        try:
            yield Contest(f"toy of {1000 * scale:g}", clock.takes("o", 1.0), [Rival("r", clock.takes("r", 2.0))])
            raise RuntimeError("no luck")
        finally:
            closed.append(True)

    monkeypatch.setattr(run, "ROWS", {"toy": toy, "other": lambda _: (c for c in ())})
    kept = tmp_path / "kept.json"
    assert run.main(["--quick", "--json", str(kept)]) == 1
    assert closed == [True]
    done, failed = Results.read(kept).lines
    assert done.what == "toy of 10"
    assert done.value == 2.0
    assert "failed: RuntimeError: no luck" in failed.missing
    assert "no luck" in capsys.readouterr().out
    assert run.main(["--only", "other", "--json", str(kept)]) == 0
    assert len(Results.read(kept).lines) == 2
    Results("another machine", []).write(kept)
    with pytest.raises(SystemExit, match="another machine"):
        run.main(["--json", str(kept)])


def test_the_cheapest_real_rows_run():
    """No cluster and no peer."""
    contests = [*passes.of_block(200, 28, np.float32), passes.of_models(200, 28, np.float32)]
    lines = [line for contest in contests for line in measure("passes", contest, 1)]
    assert [line.bound for line in lines] == [1.5, 1.5, 2.5, 12.0]
    assert all(line.value > 0 for line in lines)


def test_every_row_says_what_it_is():
    assert {"higgs", "squares", "softmax", "poisson", "processes", "import"} <= set(run.ROWS)
    assert contest.HEAD == tuple(as_text([]).splitlines()[0].split())
