"""How make docs builds the site: Sphinx, Markdown by MyST, the look by Furo; nothing of it comes from the network."""

from __future__ import annotations

import sys
from pathlib import Path

import attnexport

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "attnexport"
author = "The attnexport maintainers"
project_copyright = author
version = release = attnexport.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_line",
    "docstrings",
    "public_names",
    "repository_files",
]
root_doc = "index"
exclude_patterns = ["extensions"]

myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

# Options begin with two hyphens.
smartquotes = False

html_theme = "furo"
html_title = f"attnexport {version}"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sourcelink = False
# What one copies of a console are its commands.
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"
