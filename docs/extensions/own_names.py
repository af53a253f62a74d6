"""References to a name of the project lead to where the API reference shows it.

A class is defined in a module (``eql_d2.losses.eqlv2.EQLv2``) and shown by its package
(``eql_d2.losses.EQLv2``); annotations and docstrings may name either. A name that the project has,
but the reference does not show, stays text. One that it does not have is a warning.
"""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

PACKAGE = Path(__file__).parents[2] / "eql_d2"


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    if node.get("refdomain") != "py":
        return None
    domain = env.get_domain("py")
    name = _last(node["reftarget"])
    entries = domain.objects.items()
    shown = {full for full, entry in entries if _last(full) == name and not entry.aliased}
    found = None
    if len(shown) == 1:
        kind, document = node["reftype"], node["refdoc"]
        found = domain.resolve_xref(env, document, app.builder, kind, shown.pop(), node, content)
    return found or (content if name in _defined() else None)


def _last(name: str) -> str:
    return name.rsplit(".", 1)[-1]


@cache
def _defined() -> set[str]:
    """Names of all modules, and of what they define at their top."""
    files = list(PACKAGE.rglob("*.py"))
    modules = {path.stem for path in files} | {path.parent.name for path in files}
    pattern = re.compile(r"^(?:class |def )?(\w+)(?=[(:]| = )", re.MULTILINE)
    return modules.union(*(pattern.findall(path.read_text("utf-8")) for path in files))


def setup(app: Sphinx) -> dict:
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
