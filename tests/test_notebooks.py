"""Every notebook runs from top to bottom in a fresh kernel of the Python that runs the tests."""

import json
import os
import sys
from pathlib import Path

import pytest

import dask_gd

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
KERNEL = "the-python-of-these-tests"


@pytest.fixture
def kernel_manager(tmp_path):
    """Start kernels with `sys.executable`, whatever kernels are registered on this machine."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager

    package = str(Path(dask_gd.__file__).resolve().parents[1])
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": KERNEL,
        "language": "python",
        "env": {
            # the package under test, first
            "PYTHONPATH": os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")])),
            # no personal start-up files, and nothing written outside the test's own folder
            "IPYTHONDIR": str(scratch),
            "JUPYTER_CONFIG_DIR": str(scratch),
            "DASK_TEMPORARY_DIRECTORY": str(scratch),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
    }
    folder = tmp_path / "kernels" / KERNEL
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    return AsyncKernelManager(
        kernel_name=KERNEL,
        kernel_spec_manager=KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")]),
        connection_file=str(tmp_path / "connection.json"),
    )


def tree():
    return {p: p.stat().st_mtime_ns for p in NOTEBOOKS.rglob("*")}


def test_there_are_notebooks():
    assert list(NOTEBOOKS.glob("*.ipynb"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path, kernel_manager):
    before = tree()
    notebook = nbformat.read(path, as_version=4)
    client = nbclient.NotebookClient(
        notebook,
        km=kernel_manager,
        timeout=240,
        force_raise_errors=True,
        resources={"metadata": {"path": str(NOTEBOOKS)}},
    )
    client.execute(cleanup_kc=True)  # raises CellExecutionError, with the cell and its traceback
    assert tree() == before


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_is_saved_with_its_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
