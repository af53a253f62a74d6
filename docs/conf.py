"""Sphinx: `make docs` builds this book into build/docs."""

import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path[:0] = [str(FOLDER.parent), str(FOLDER / "extensions")]

from eql_d2 import __version__  # noqa: E402

project = "eql_d2"
author = "The authors of eql_d2"
copyright = "the authors of eql_d2, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "own_names", "mathml"]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["zoo", "extensions"]
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False

# Every name of this project has to lead somewhere. Names of other packages would need their indices
# from the network, which the build does without.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", rf"(~?\.?){package}(\..*)?")
    for package in (
        *(
            "os",
            "torch",
            "torchvision",
            "timm",
            "detectron2",
            "fvcore",
            "iopath",
            "omegaconf",
            "yacs",
        ),
        *("numpy", "np", "PIL", "matplotlib", "jinja2", "argparse", "logging", "pathlib"),
        *("collections", "typing", "types", "functools", "contextlib", "abc"),
    )
] + [
    # Annotations of the standard library and of PyTorch by the names that the modules import
    (r"py:(class|data|obj|exc)", r"(optional|callable|iterable|[A-Z])"),
]

html_theme = "furo"
html_title = f"eql_d2 {version}"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_copy_source = False
html_show_sourcelink = False
html_domain_indices = False
html_theme_options = {"navigation_with_keys": True}


def _skip_field(app, what, name, member, skip, options) -> bool | None:
    """Fields of a named tuple are in the docstring of their class; theirs says nothing."""
    return True if type(member).__name__ == "_tuplegetter" else None


def setup(app) -> None:
    app.connect("autodoc-skip-member", _skip_field)
