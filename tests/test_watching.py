"""Callbacks of fits and of searches: what they are told, what they print, and what they stop."""

import io
import re
import shutil

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from dask_gd import GDClassifier, GDRegressor, LogisticRegression, SGDClassifier
from dask_gd.callbacks import ProgressBar, Watcher, share_done, watching
from dask_gd.model_selection import GridSearchCV, HalvingGridSearchCV, HyperbandSearchCV, LogisticRegressionCV
from dask_gd.protocol import Report, SearchReport, SweepCost

RNG = np.random.default_rng(3)
X = RNG.normal(size=(600, 4))
MARGIN = X @ [1.0, -2.0, 0.5, 0.0]
LABELS = (MARGIN + RNG.logistic(size=600) > 0).astype(int)
ETAS = [0.01, 0.1, 1.0]


class Searches(Watcher):
    """Keeps what it is told, and stops after some sweeps."""

    def __init__(self, stop_after=np.inf):
        self.fits, self.reports, self.stop_after = [], [], stop_after

    def __call__(self, report):
        self.fits.append(report)

    def on_search(self, report):
        self.reports.append(report)
        return report.n_sweeps >= self.stop_after


class Fits(Watcher):
    def __init__(self, stops=lambda report: False):
        self.reports, self.stops = [], stops

    def __call__(self, report):
        self.reports.append(report)
        return self.stops(report)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def descent(**parameters):
    return GDClassifier(learning_rate="constant", max_iter=6, tol=None, **parameters)


def untimed(text):
    return re.sub(r" +\d+\.\d s", " T", text)


# -- reports ---------------------------------------------------------------------------------------------------------


def test_one_report_a_sweep():
    with Searches() as told:
        search = GridSearchCV(descent(), {"eta0": ETAS}, cv=4).fit(X, LABELS)
    reports = told.reports
    assert not told.fits
    stages = [report.stage for report in reports]
    assert stages[0] == "first sweep"
    assert stages[-1] == "done"
    assert list(dict.fromkeys(stages)) == ["first sweep", "fits", "scores", "refit", "done"]
    fits = [report for report in reports if report.stage == "fits"]
    assert [report.n_sweeps for report in fits] == list(range(2, 2 + len(fits)))
    assert {(report.n_candidates, report.n_folds, report.n_fits) for report in reports} == {(3, 4, 12)}
    assert [report.alive for report in fits] == [12] * (len(fits) - 1) + [0]
    assert reports[-1].n_sweeps == search.n_sweeps_
    assert (reports[-1].over, reports[-1].converged, reports[-1].diverged) == (12, 12, 0)
    assert {report.best_score for report in fits} == {None}
    assert reports[-1].best_score == pytest.approx(search.best_score_)
    shares = [report.done for report in reports]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    seconds = [report.seconds for report in reports]
    assert seconds == sorted(seconds)


def test_a_pilot_comes_first_and_the_others_wait():
    with Searches() as told:
        model = LogisticRegressionCV(Cs=[0.01, 0.1, 1.0, 10.0], cv=3, scoring="neg_log_loss").fit(X, LABELS)
    pilots = [report for report in told.reports if report.stage == "pilots"]
    fits = [report for report in told.reports if report.stage == "fits"]
    assert {(report.alive, report.over) for report in pilots} == {(1, 0)}
    assert pilots[-1].done == pytest.approx(1 / 14)  # one of twelve fits, the pilot and the refit
    assert fits[0].alive + fits[0].over == 12
    last = told.reports[-1]
    assert (last.converged, last.n_sweeps) == (12, model.n_sweeps_)
    assert last.best_score < 0  # the sign of the score, as the search has it
    shares = [report.done for report in told.reports]
    assert shares == sorted(shares)


def test_fits_that_diverge_are_counted():
    with Searches() as told, pytest.warns(ConvergenceWarning, match="diverged"):
        GridSearchCV(GDRegressor(learning_rate="constant", max_iter=300), {"eta0": [0.1, 1e3]}, cv=2).fit(X, MARGIN)
    assert [report.stage for report in told.reports] == ["first sweep", "fits", "scores", "done"]  # squares: one sweep
    assert {report.n_sweeps for report in told.reports} == {1}
    assert (told.reports[-1].diverged, told.reports[-1].over) == (2, 4)


def test_a_callback_of_fits_tells_them_apart():
    with Fits() as told:
        GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    assert {report.fit for report in told.reports} == set(range(7))  # the refit is the last
    assert {report.n_fits for report in told.reports} == {7}
    for fit in range(7):
        iterations = [report.iteration for report in told.reports if report.fit == fit]
        assert iterations == list(range(1, 7))


def test_nobody_listens_outside():
    with Searches() as told:
        assert watching() == (told,)
    assert watching() == ()
    GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    assert not told.reports


@pytest.mark.parametrize(
    ("search", "n_candidates", "n_folds"),
    [
        (HyperbandSearchCV(descent(), {"eta0": np.geomspace(0.01, 3, 30)}, max_iter=9, random_state=0), 17, 1),
        (HalvingGridSearchCV(descent(), {"eta0": ETAS}, resource="max_iter", max_resources=9, cv=2), 3, 2),
        (HalvingGridSearchCV(descent(), {"eta0": ETAS}, resource="max_iter", max_resources=9, cv=2, refit=False), 3, 2),
    ],
    ids=["hyperband", "halving", "halving-without-refit"],
)
def test_fits_that_go_on_from_rung_to_rung(search, n_candidates, n_folds):
    with Searches() as told:
        search.fit(X, LABELS)
    reports = told.reports
    assert {(report.n_candidates, report.n_folds) for report in reports} == {(n_candidates, n_folds)}
    assert [report.stage for report in reports].count("done") == 1
    assert (reports[0].stage, reports[-1].stage) == ("first sweep", "done")
    assert reports[-1].n_sweeps == search.n_sweeps_
    fits = [report for report in reports if report.stage == "fits"]
    assert max(report.alive + report.over for report in fits) == n_candidates * n_folds
    alive = [report.alive for report in fits if report.alive]
    assert alive[-1] < alive[0]  # those left behind are over
    shares = [report.done for report in reports]
    assert shares == sorted(shares)
    best = [report.best_score for report in reports if report.best_score is not None]
    assert best == sorted(best)
    assert best[-1] == pytest.approx(np.max(search.cv_results_.get("mean_test_score", search.best_score_)))


# -- stopping --------------------------------------------------------------------------------------------------------


def test_a_search_stops_where_its_callback_says():
    with Searches(stop_after=3) as told, pytest.warns(ConvergenceWarning, match="stopped by a callback"):
        search = GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()  # scored where they stand
    last = told.reports[-1]
    assert (last.stage, last.over, last.converged) == ("done", 6, 0)
    assert search.best_estimator_.n_iter_ == 1  # it stops the refit too
    fits = [report.n_sweeps for report in told.reports if report.stage == "fits"]
    assert fits[-1] <= 3 + 2  # the next iteration is the last: its sweep, and with a search along the line another


def test_a_fit_of_a_search_stops_alone():
    with (
        Fits(lambda report: report.fit == 0 and report.iteration == 2) as told,
        pytest.warns(ConvergenceWarning, match="stopped by a callback"),
    ):
        GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    lengths = [max(report.iteration for report in told.reports if report.fit == fit) for fit in range(7)]
    assert lengths == [2, 6, 6, 6, 6, 6, 6]


def test_watching_changes_no_bit():
    alone = GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    with Searches(), Fits():
        watched = GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    assert watched.best_estimator_.coef_.tobytes() == alone.best_estimator_.coef_.tobytes()
    assert (watched.cv_results_["mean_test_score"] == alone.cv_results_["mean_test_score"]).all()
    assert watched.n_sweeps_ == alone.n_sweeps_


# -- what is printed -------------------------------------------------------------------------------------------------

SEARCHED = r"\[#{24}\] 3 x 2 fits: 6 converged  best score 0\.\d+  \d+ sweeps T\n"  # one line, of a whole search


def test_a_log_gets_one_line_of_a_search():
    out = io.StringIO()
    with ProgressBar(out=out):
        GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    assert re.fullmatch(SEARCHED, untimed(out.getvalue()))


def test_a_terminal_gets_one_line_drawn_again(monkeypatch):
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: shutil.os.terminal_size((100, 24)))
    out = Terminal()
    with ProgressBar(out=out):
        search = GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
    lines = untimed(out.getvalue()).split("\r")
    assert lines[0] == ""
    assert out.getvalue().count("\n") == 1
    assert len(lines) - 1 >= search.n_sweeps_
    assert all(len(line.rstrip("\n")) < 100 for line in lines)
    assert any("6 alive" in line and "T left" in line for line in lines)
    assert any("refit under way" in line for line in lines)
    assert re.fullmatch(SEARCHED, re.sub(r" +\n", "\n", lines[-1]))


def test_on_a_cluster(client):
    lazy = da.from_array(X, chunks=(150, 4)), da.from_array(LABELS, chunks=150)
    out = io.StringIO()
    with dask.config.set(scheduler=None), client.as_current(), ProgressBar(out=out), Searches() as told:
        search = GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(*lazy)
    assert re.fullmatch(SEARCHED, untimed(out.getvalue()))
    assert told.reports[-1].n_sweeps == search.n_sweeps_


def test_verbose_searches_print_a_line_a_sweep(capsys):
    search = GridSearchCV(descent(), {"eta0": ETAS}, cv=2, verbose=2).fit(X, LABELS)
    first, *lines = untimed(capsys.readouterr().out).splitlines()
    assert first == "Fitting 2 folds for each of 3 candidates, totalling 6 fits"
    assert lines[0] == "first sweep  3 x 2 fits: 6 waiting  1 sweep T"
    assert lines[1] == "fits         3 x 2 fits: 6 alive  2 sweeps T"
    assert len(lines) <= search.n_sweeps_
    assert lines[-1].startswith("refit        3 x 2 fits: 6 converged, refit under way  best score 0.")
    LogisticRegressionCV(Cs=3, cv=2, verbose=1).fit(X, LABELS)
    assert capsys.readouterr().out.startswith("first sweep  3 x 2 fits: 6 waiting  1 sweep")
    GridSearchCV(descent(), {"eta0": ETAS}, cv=2, verbose=1).fit(X, LABELS)
    assert capsys.readouterr().out.splitlines() == [first]


def test_a_search_fit_by_fit_shows_a_line_a_fit():
    out = io.StringIO()
    estimator = SGDClassifier(max_iter=2, tol=None, random_state=0)
    with ProgressBar(out=out):
        GridSearchCV(estimator, {"alpha": [1e-4, 1e-3]}, cv=2).fit(X, LABELS)
    assert out.getvalue().count("\n") == 2 * 2 + 1


def test_a_bar_of_a_fit_then_of_a_search():
    out = io.StringIO()
    with ProgressBar("tuning ", out=out):
        LogisticRegression().fit(X, LABELS)
        GridSearchCV(descent(), {"eta0": ETAS}, cv=2).fit(X, LABELS)
        LogisticRegression().fit(X, LABELS)
    one, many, again = out.getvalue().splitlines()
    assert "objective" in one
    assert many.startswith(f"tuning [{'#' * 24}] 3 x 2 fits")
    assert "objective" in again


def test_what_a_bar_says_of_those_that_did_not_converge():
    out = io.StringIO()
    report = SearchReport("fits", 4, 5, 3, 8, 2, 12, 7, 3.0, 0.25, None)
    with ProgressBar(out=out) as bar:
        bar.on_search(report._replace(stage="first sweep", alive=0, over=0, converged=0, diverged=0, done=0, seconds=1))
        bar.on_search(report)
    counts = "3 alive, 5 waiting, 8 converged, 2 diverged, 2 unfinished"
    assert out.getvalue() == f"[{'#' * 6}{'.' * 18}] 4 x 5 fits: {counts}  7 sweeps 3.0 s, 6.0 s left\n"


@pytest.mark.parametrize(
    ("iteration", "norm", "tol", "converged", "share"),
    [
        (0, 1.0, 1e-4, False, 0.0),
        (1, 1e-2, 1e-4, False, 0.5),
        (5, 1.0, 1e-4, False, 0.5),
        (5, 1.0, None, False, 0.5),
        (1, 2.0, 1e-4, False, 0.1),
        (1, np.nan, None, False, 0.1),
        (1, 1e-9, 1e-4, False, 1.0),
        (1, 1e-2, 1e-4, True, 1.0),
    ],
)
def test_share_of_the_way(iteration, norm, tol, converged, share):
    report = Report(0, 1, iteration, 10, 1.0, norm, 1.0, SweepCost(), converged, tol)
    assert share_done(report, 1.0) == pytest.approx(share)
