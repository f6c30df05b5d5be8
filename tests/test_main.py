"""``python -m dask_gd``: what a newcomer runs first."""

import os
import re
import signal
import subprocess
import sys

import pytest

OBJECTIVE = re.compile(r"\s(\d+\.\d\d)\s+(\S+)\s+(\d\.\d{4})$")  # seconds, objective, score: the end of a line


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "dask_gd", *arguments], capture_output=True, text=True, timeout=110, check=False
    )


@pytest.fixture(scope="module")
def demonstration():
    return run("--rows", "20000")


def test_exit_code_and_no_tracebacks(demonstration):
    assert demonstration.returncode == 0, demonstration.stderr
    assert "Traceback" not in demonstration.stderr
    assert "Warning" not in demonstration.stderr


def test_objectives_agree_with_scikit_learn(demonstration):
    lines = [line for line in demonstration.stdout.splitlines() if OBJECTIVE.search(line)]
    assert len(lines) == 12  # six fits, two lines each
    for ours, theirs in zip(lines[::2], lines[1::2], strict=True):
        assert "scikit-learn" in theirs
        a, b = (OBJECTIVE.search(line) for line in (ours, theirs))
        assert float(a[2]) == pytest.approx(float(b[2]), rel=1e-8), ours
        assert float(a[3]) == pytest.approx(float(b[3]), abs=2e-3), ours


def test_table_fits_a_terminal_of_100_columns(demonstration):
    table = demonstration.stdout.split("data ", 1)[1].split("Objective:", 1)[0]
    assert max(map(len, table.splitlines())) <= 100


def test_a_log_gets_one_line_a_fit(demonstration):
    assert "\r" not in demonstration.stderr
    assert demonstration.stderr.count(" it  objective ") == 6


def test_bad_arguments_are_refused():
    out = run("--rows", "3")
    assert out.returncode == 2
    assert "--rows must be at least" in out.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="process groups")
def test_ctrl_c_closes_the_cluster_and_says_so():
    process = subprocess.Popen(
        [sys.executable, "-m", "dask_gd"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    try:
        first = process.stderr.readline()  # the first fit is over
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to this process and its workers
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, first + rest
    assert "Interrupted; the cluster is closed." in rest
