"""Sphinx configuration. Build with: python -m sphinx -W -b html docs docs/_build/html (offline)."""

import os
import re
import sys

sys.path.insert(0, os.path.abspath(".."))

import dask_gd

project = "dask_gd"
author = "The dask_gd developers"
copyright = "2026, The dask_gd developers"
version = release = dask_gd.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "code"

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the class template lists them

html_theme = "pydata_sphinx_theme"
html_title = f"dask_gd {version}"
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": False,
}
html_sidebars = {"**": []}


def escape_shapes(app, what, name, obj, options, lines):
    """``history_ : ndarray of shape (n_iter_,)``: ``n_iter_`` is no link, and |y_i| no substitution."""
    lines[:] = [re.sub(r"(?<=\w)_(?=,?\))", r"\\_", line) if " : " in line else line for line in lines]
    lines[:] = [re.sub(r"\|(?=y_i)", r"\\|", line) for line in lines]
    # what a search inherits refers to the glossary of scikit-learn's own pages
    lines[:] = [re.sub(r":(?:term|ref):`([^`<]*?)(?: <[^`>]*>)?`", r"``\1``", line) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", escape_shapes, priority=400)  # before numpydoc, which is at 500
