"""The direction of the arrows: a file imports only from floors below its own, or from its own package."""

import ast
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from clusters import cluster
from distributed import Client

import dask_gd as dg
from dask_gd.metrics import accuracy_score, roc_auc_score
from dask_gd.model_selection import StratifiedKFold, train_test_split

ROOT = Path(__file__).resolve().parents[1] / "dask_gd"
FLOORS = {
    "arrays": 0,
    "protocol": 0,
    "losses": 0,
    "penalties": 0,
    "exceptions": 0,
    "lazy": 0,
    "memory": 0,
    "compiled": 0,
    "objective": 1,
    "expansion": 1,
    "kernels": 1,
    "solvers": 1,
    "engine": 2,
    "fitting": 3,
    "planner": 3,
    "continuation": 3,
    "starts": 3,
    "lockstep": 3,
    "paths": 3,
    "ridges": 3,
    "callbacks": 3,
    "plot": 3,
    "checkpoint": 3,
    "inference": 3,
    "linear_model": 4,
    "metrics": 5,
    "model_selection": 6,
    "__init__": 7,
    "__main__": 7,
}
OPEN_FLOORS = {0, 3}  # whose files may know their neighbours
NEIGHBOURS = {("objective", "kernels"), ("objective", "expansion"), ("expansion", "kernels")}
DASK = {"dask", "distributed"}
# Everything that touches Dask goes through the engine; the demonstration is a user of ours.
MAY_IMPORT_DASK = {"__main__.py": DASK | {"dask.array"}}
FILES = sorted(ROOT.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in FILES]


def unit(path):
    """The entry of FLOORS that a file belongs to: its package, or itself."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path):
    """Dotted names of all modules that a file imports, wherever in the file, with relative imports resolved."""
    package = ("dask_gd", *path.relative_to(ROOT).parent.parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *(node.module.split(".") if node.module else ())))
            # `from . import a` imports the module a, `from .a import b` may only import a name
            found += [f"{module}.{alias.name}" for alias in node.names] if not node.module else [module]
    return found


def units_imported(path):
    names = [name.split(".") for name in imports(path)]
    # `from . import Ridge` takes a name of the package itself
    return {parts[1] if parts[1:] and parts[1] in FLOORS else "__init__" for parts in names if parts[0] == "dask_gd"}


def outside(path):
    return {name for name in imports(path) if name.split(".")[0] != "dask_gd"}


def test_every_file_has_a_floor():
    assert {unit(path) for path in FILES} <= set(FLOORS)
    assert {"protocol", "losses", "penalties", "objective", "kernels", "solvers", "engine", "fitting"} <= {
        unit(path) for path in FILES
    }


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_point_downwards(path):
    own = unit(path)
    for other in units_imported(path) - {own}:
        allowed = (
            FLOORS[other] < FLOORS[own]
            or (FLOORS[other] == FLOORS[own] and FLOORS[own] in OPEN_FLOORS)
            or (own, other) in NEIGHBOURS
            or (own == "__main__" and other == "__init__")
        )
        assert allowed, f"{path.name} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_only_the_engine_imports_dask(path):
    if unit(path) == "engine":
        return
    found = {name for name in outside(path) if name.split(".")[0] in DASK}
    assert found <= MAY_IMPORT_DASK.get(str(path.relative_to(ROOT)), set())


@pytest.mark.parametrize("path", [p for p in FILES if FLOORS[unit(p)] < 4], ids=lambda p: str(p.relative_to(ROOT)))
def test_scikit_learn_is_above_the_fit_loop(path):
    assert not {name for name in outside(path) if name.split(".")[0] in {"sklearn", "pandas"}}


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if unit(p) in ("solvers", "losses", "penalties", "protocol", "arrays")],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_mathematics_needs_arrays_alone(path):
    tops = {name.split(".")[0] for name in outside(path)}
    assert tops <= {
        "__future__",
        "collections",
        "dataclasses",
        "functools",
        "math",
        "typing",
        "numpy",
        "scipy",
        "array_api_compat",
    }


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_no_private_api_of_scikit_learn_or_dask(path):
    for name in outside(path):
        parts = name.split(".")
        assert parts[0] not in {"sklearn", "dask", "distributed"} or not any(p.startswith("_") for p in parts[1:])


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("dask_gd.linear_model", "distributed"),
        ("dask_gd.engine.cluster_streaming, dask_gd.kernels", "sklearn"),  # all that a worker runs: 125 MB less
    ],
)
def test_importing_leaves_out(modules, absent):
    code = f"import sys, {modules}; print({absent!r} in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent, timeout=60
    )
    assert done.stdout.strip() == "False"


def test_workers_need_no_scikit_learn():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), rng.integers(0, 2, 400)
    model = dg.LogisticRegression().fit(X, y)
    with cluster(1, 1) as workers, Client(workers) as client:
        lazy_X, lazy_y = da.from_array(X, chunks=(100, 3)), da.from_array(y, chunks=100)
        train, test = train_test_split(lazy_X, stratify=lazy_y, random_state=0)
        da.compute(train, test, model.predict(lazy_X), model.predict_log_proba(lazy_X))
        StratifiedKFold(3).fold_numbers(lazy_X, lazy_y).compute()
        accuracy_score(lazy_y, model.predict(lazy_X))
        roc_auc_score(lazy_y, model.predict_proba(lazy_X)[:, 1])
        model.score(lazy_X, lazy_y)
        (loaded,) = client.run(lambda: set(sys.modules)).values()
    assert "dask_gd.kernels" in loaded
    assert not loaded & {"sklearn", "pandas", "scipy.stats"}
