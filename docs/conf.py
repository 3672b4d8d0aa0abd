"""Sphinx configuration of the documentation.

``python -m sphinx -W -b html docs docs/_build/html`` builds it offline: nothing is fetched,
formulas are plain text, and the pages on the command line and on the configuration
are written from the code itself (:mod:`generated_pages`) before Sphinx reads them.
"""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generated_pages  # noqa: E402

from stedopt_bluesky import __version__  # noqa: E402

generated_pages.write(HERE / "reference" / "generated")

project = "stedopt_bluesky"
author = "the stedopt_bluesky developers"
project_copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
# The generated Markdown is included by the pages that explain it.
exclude_patterns = ["_build", "reference/generated/*.md"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

suppress_warnings = [
    "ref.python",  # a word of a docstring's type, like "shape", is also the name of something
    "ref.citation",  # two modules cite one paper, each for readers of that module alone
]

# `name` in a docstring is the name of something in Python.
default_role = "py:obj"
autosummary_generate = True
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "member-order": "bysource",
    "exclude-members": "model_config",
}
autodoc_typehints = "none"  # the docstrings tell types, shapes and units
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = f"stedopt_bluesky {release}"
html_static_path = ["_static"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}


def escape_magnitudes(_app, _what, _name, _object, _options, lines):
    """Keep |I|, the magnitude of I, from being read as a substitution; literals stay."""
    lines[:] = [line if "``" in line else re.sub(r"\|(\w+)\|", r"\\|\1\\|", line) for line in lines]


def setup(app):
    """Register the hook."""
    app.connect("autodoc-process-docstring", escape_magnitudes)
