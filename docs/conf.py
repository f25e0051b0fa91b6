"""The documentation as a site: `make docs` builds it from the pages, README and the docstrings, without a network.

The source folder is that of the project, so that links between pages, README and files of the code lead to the same
places as on a code host. The pages are plain Markdown. Two things are added to them while they are read: the site's
menu, made of the links in docs/index.md, and the docstrings of the names in docs/api.md.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import gsched

project = "gsched"
author = "the authors of gsched"
version = release = gsched.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md"]
exclude_patterns = [".*", "build", "gsched", "load_tests", "node_modules", "scripts", "tests"]
html_theme = "furo"
html_title = f"gsched {release}"
html_copy_source = html_show_copyright = html_show_sphinx = False
html_extra_path = ["site"]
myst_heading_anchors = 4
default_role = "code"  # docstrings have names between single backquotes
autodoc_member_order = "bysource"
autodoc_typehints = "none"


def menu(index: str) -> str:
    """The page with a menu of its links: each section is a part of the menu."""
    parts = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", index, re.M | re.S)
    trees = []
    for title, part in parts:
        links = [f"{name} <{path}>" for name, path in re.findall(r"^- \[(.+?)\]\((\S+?)\)", part, re.M)]
        trees.append("\n".join(["```{toctree}", ":hidden:", f":caption: {title}", *links, "```"]))
    return "\n\n".join([index, *trees])


def with_docstring(line: re.Match[str]) -> str:
    """What the docstring of a name says, in place of the line with its first sentence."""
    module, _, name = line[1].rpartition(".")
    thing = getattr(import_module(module), name)
    if not callable(thing):
        return line[0]
    kind = "function" if inspect.isroutine(thing) else "exception" if issubclass(thing, BaseException) else "class"
    options = ["   :members:"] if kind == "class" else []
    if name in ("GeventScheduler", "AdminVerbs"):
        options.append("   :inherited-members:")
    return "\n".join(["```{eval-rst}", f".. auto{kind}:: {line[1]}", *options, "```"])


def read(_app: Any, page: str, source: list[str]) -> None:
    """Add to a page what its Markdown does not have."""
    if page == root_doc:
        source[0] = menu(source[0])
    elif page == "docs/api":
        source[0] = re.sub(r"^- `(gsched[\w.]+)`: .*$", with_docstring, source[0], flags=re.M)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read)
