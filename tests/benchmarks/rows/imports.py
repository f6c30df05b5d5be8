"""``import dask_gd`` in a fresh interpreter, beside the imports of scikit-learn and Dask that it cannot avoid."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

from contest import Contest, Goal, Rival


def fresh(code: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def imports(_: float) -> Iterator[Contest]:
    yield Contest(
        "import dask_gd",
        fresh("import dask_gd"),
        [Rival("import sklearn, dask", fresh("import sklearn, dask"), Goal("excess", 0.3))],
    )


ROWS = {"import": imports}
