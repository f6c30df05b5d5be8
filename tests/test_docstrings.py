"""Examples in docstrings run, and every public name says what it is."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import dask_gd

MODULES = [
    "dask_gd",
    *sorted(
        module.name
        for module in pkgutil.walk_packages(dask_gd.__path__, "dask_gd.")
        if not module.name.endswith("__main__")
    ),
]
PUBLIC = sorted(dask_gd.__all__)
ESTIMATORS = [name for name in PUBLIC if hasattr(getattr(dask_gd, name), "fit")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert found.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    assert sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name))) > 20


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_are(name):
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", MODULES)
def test_public_classes_and_functions_have_docstrings(name):
    module = importlib.import_module(name)
    for label, item in vars(module).items():
        if label.startswith("_") or getattr(item, "__module__", None) != name:
            continue
        if inspect.isclass(item) or inspect.isfunction(item):
            if label.endswith("Error") or len(inspect.getsource(item).splitlines()) > 5:
                assert item.__doc__, f"{name}.{label}"


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators_document_themselves(name):
    cls = getattr(dask_gd, name)
    doc = cls.__doc__
    for section in ("Parameters", "Attributes", "References", "Examples"):
        assert f"\n    {section}\n    {'-' * len(section)}\n" in doc
    assert "minimises" in doc
    assert ">>>" in doc
    for parameter, default in inspect.signature(cls).parameters.items():
        assert f"\n    {parameter} : " in doc, parameter
        line = doc.split(f"\n    {parameter} : ")[1].splitlines()[0]
        stated = line.split("default=")[1].strip()
        assert stated == f'"{default.default}"' or eval(stated) == default.default, parameter


@pytest.mark.parametrize("name", ESTIMATORS)
def test_fitted_attributes_are_documented(name):
    cls = getattr(dask_gd, name)
    X, y = [[0.0], [1.0], [2.0], [3.0]], [1, 2, 1, 2]
    model = (cls(cv=2) if "cv" in inspect.signature(cls).parameters else cls()).fit(X, y)
    for attribute in vars(model):
        if attribute.endswith("_"):
            assert attribute in cls.__doc__, attribute


@pytest.mark.parametrize("name", ESTIMATORS)
def test_public_methods_are_documented(name):
    cls = getattr(dask_gd, name)
    for method in ("fit", "explain", "predict", "score", "decision_function", "predict_proba", "predict_log_proba"):
        if hasattr(cls, method):
            doc = inspect.getdoc(getattr(cls, method))
            assert "Returns\n-------" in doc, method


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - set(ESTIMATORS)))
def test_other_public_names_are_documented(name):
    item = getattr(dask_gd, name)
    assert item.__doc__
    if inspect.isfunction(item):
        for section in ("Parameters", "Returns", "Raises", "References", "Examples"):
            assert f"\n    {section}\n    {'-' * len(section)}\n" in item.__doc__
    else:
        assert issubclass(item, Exception)  # warnings are exceptions too


def test_all_is_what_there_is():
    assert PUBLIC == sorted(set(PUBLIC))
    for name in PUBLIC:
        assert getattr(dask_gd, name).__module__.startswith("dask_gd")


def test_the_table_of_losses_is_the_registry():
    """Adding a loss is a class and its row here."""
    from dask_gd.losses import LOSSES

    text = (Path(dask_gd.__file__).resolve().parents[1] / "docs" / "losses.rst").read_text()
    table = text.split("Losses\n------")[1].split("Penalties\n---------")[0].split("Other parameters")[0]
    rows = [line.split(" - ", 1)[1] for line in table.splitlines() if line.startswith("   * - `")]
    assert sorted(name for row in rows for name in re.findall(r"`([^`]+)`", row)) == sorted(LOSSES)
