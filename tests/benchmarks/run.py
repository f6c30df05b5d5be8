"""One table of ratios: dask_gd beside its peers, each pair measured in the same run, taking turns, medians.

    python tests/benchmarks/run.py [--quick] [--only ROW ...] [--json FILE] [--into PAGE]
    python tests/benchmarks/run.py --table FILE [--into PAGE]

"theirs / ours" must be at least a goal of "≥", "ours / theirs" at most one of "≤"; the goal of several solvers of one
library is held against the fastest. The objective is ours less the rival's, relative to it, in float64. Peers that are
not installed (``pip install -e ".[bench]"``, Java 17 for Spark) are named and left out. ``--quick`` has a hundredth of
the rows, to see that everything runs: its figures mean nothing. ``--json`` keeps the results; where the file is there
already, rows that are measured again replace their old lines. ``--table`` measures nothing and prints the results of a
file as reStructuredText. ``--into`` puts that between the markers of a page. The page of the documentation is made by

    python tests/benchmarks/run.py --json docs/benchmarks.json --into docs/benchmarks.rst
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from common import machine
from contest import PATIENCE, Line, Results, Row, as_rst, as_text, cells, measure
from rows import (
    gpu,
    grid,
    imports,
    logistic,
    others,
    passes,
    poisson,
    processes,
    rounds,
    search,
    small,
    sparse,
    squares,
    stochastic,
    streamed,
)

TOPICS = (
    passes,
    logistic,
    squares,
    search,
    grid,
    sparse,
    poisson,
    streamed,
    processes,
    small,
    imports,
    stochastic,
    others,
    rounds,
    gpu,
)
ROWS: dict[str, Row] = {name: row for topic in TOPICS for name, row in topic.ROWS.items()}
QUICK = {"scale": 0.01, "repeats": 1, "patience": 1.0}
BEGIN, END = ".. begin: run.py --table", ".. end: run.py --table"


def lines_of(name: str, row: Row, scale: float, repeats: int, patience: float) -> list[Line]:
    """All lines of a row; one that says what went wrong where something did, and the run goes on."""
    found: list[Line] = []
    try:
        with closing(row(scale)) as contests:
            for contest in contests:
                lines = measure(name, contest, repeats, patience)
                print("\n".join("  ".join(cells(line)) for line in lines), flush=True)
                found += lines
    except Exception as error:
        traceback.print_exc()
        found.append(Line(name, name, "", missing=f"failed: {type(error).__name__}: {error}".splitlines()[0]))
    return found


def between_markers(page: str, text: str) -> str:
    """The page with this text between its two markers."""
    before, _, rest = page.partition(BEGIN)
    _, marker, after = rest.partition(END)
    if not marker:
        raise SystemExit(f"the page lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds until a contestant sits out")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path, metavar="FILE")
    parser.add_argument("--into", type=Path, metavar="PAGE")
    options = parser.parse_args(arguments)
    if options.table:
        results = Results.read(options.table)
        if not options.into:
            print(as_rst(results))
        failed = False
    else:
        results, failed = run(options)
    if options.into:
        options.into.write_text(between_markers(options.into.read_text(), as_rst(results)))
    return int(failed)


def run(options: argparse.Namespace) -> tuple[Results, bool]:
    """Measure, print and keep; and whether anything failed."""
    warnings.simplefilter("ignore")
    results = Results(machine(), [])
    print(f"{results.machine}\nload {os.getloadavg()[0]:.1f} at the start", flush=True)
    if options.json and options.json.exists():
        kept = Results.read(options.json)
        if kept.machine != results.machine:
            raise SystemExit(f"{options.json} has results of another machine or other versions:\n{kept.machine}")
        results = kept
    measured: list[Line] = []
    how = QUICK if options.quick else {"scale": 1.0, "repeats": options.repeats, "patience": options.patience}
    for name in options.only or ROWS:
        print(f"\n{name}", flush=True)
        lines = lines_of(name, ROWS[name], **how)
        measured += lines
        results.replace(lines)
        if options.json:
            results.write(options.json)
    print(f"\n{as_text(measured)}")
    return results, any(line.missing.startswith("failed") for line in measured)


if __name__ == "__main__":
    sys.exit(main())
