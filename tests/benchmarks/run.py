"""All benchmarks, and their figures beside the targets: ``python tests/benchmarks/run.py``."""

from __future__ import annotations

import higgs_like
import models
import pass_speed
import round_overhead
import sweeps
from common import table


def main() -> None:
    figures = []
    for benchmark in (pass_speed, round_overhead, higgs_like, models, sweeps):
        figures += benchmark.main([])
        print(flush=True)
    print(table(["figure", "measured", "target"], figures))


if __name__ == "__main__":
    main()
