"""How Sphinx builds the book. The form of its pages is in README.md; `make book` runs it."""

import sys
from pathlib import Path

import minivae

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "minivae"
author = "The minivae authors"
version = release = minivae.__version__
html_title = "minivae"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "book"]
exclude_patterns = ["_*"]
nitpicky = True
nitpick_ignore_regex = [  # what others document, and what a docstring names before its colon
    ("py:.*", r"(numpy|scipy|matplotlib|collections|typing|pathlib)\..*"),
    ("py:class", r"[a-z_]+|[A-Z]|[\"{(].*|.* .*"),
]

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # the API's docstrings begin at their own level

default_role = "literal"  # `name` in a docstring
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["book.js", "drag_q.js"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
pygments_style = "default"
pygments_dark_style = "github-dark"

# MathJax as SVG in one local file: no fonts and no extensions to fetch, no menu that fetches them.
mathjax_path = "tex-svg-full.js"
mathjax3_config = {
    "options": {"enableMenu": False},
    "svg": {"fontCache": "local", "scale": 0.92},
    "tex": {"packages": {"[-]": ["noerrors", "noundefined"]}},  # what is wrong shows as wrong
}
