"""The code blocks of a page, and the comments above them."""

import re
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from mdit_py_plugins.myst_blocks import myst_block_plugin

DOCS = Path(__file__).parents[2] / "docs"
# What MyST and not a reader makes something of
_DIRECTIVES = ("{toctree}", "{include}", "{eval-rst}", "{note}", "{warning}")
_COMMENT = re.compile(r"(data|file|not run): (\S.*)")


class Block(NamedTuple):
    """A fenced block.

    Attributes:
        page: path below docs/.
        line: of its first fence, from 1.
        language: after the fence.
        text: inside.
        file: name that ``% file`` gives, or "".
        reason: why it is not run, or "".
        is_output: it is a text after a block of bash or Python.
    """

    page: str
    line: int
    language: str
    text: str
    file: str
    reason: str
    is_output: bool

    @property
    def where(self) -> str:
        return f"docs/{self.page}:{self.line}"


class Page(NamedTuple):
    name: str
    data: list[str]
    blocks: list[Block]


def pages() -> list[Path]:
    """All pages that somebody writes."""
    return sorted(path for path in DOCS.glob("*.md") if path.name != "changelog.md")


def read_page(path: Path) -> Page:
    """Raises ValueError at a block or comment of which the runner can make nothing."""
    data, blocks, comment = [], [], None
    for token in MarkdownIt("commonmark").use(myst_block_plugin).parse(path.read_text("utf-8")):
        where = f"docs/{path.name}:{token.map[0] + 1 if token.map else 0}"
        if token.type == "code_block":
            raise ValueError(f"{where}: indented code; fence it, with its language")
        if token.type == "fence" and not token.info.startswith(_DIRECTIVES):
            follows = any(block.language in ("bash", "python") for block in blocks)
            blocks.append(_block(where, path.name, token, comment, follows))
        comment = None
        if token.type == "myst_line_comment":
            comment = _COMMENT.fullmatch(token.content.strip())
            if comment and comment[1] == "data":
                data += comment[2].split()
                comment = None
    return Page(path.name, data, blocks)


def _block(where: str, page: str, token, comment: re.Match | None, follows: bool) -> Block:
    language = token.info.strip()
    if language not in ("bash", "python", "yaml", "text", "json", "bibtex"):
        raise ValueError(f"{where}: language {language!r}")
    kind, value = comment.groups() if comment else ("", "")
    is_output = language == "text" and follows and not kind
    if not (is_output or kind or language in ("bash", "python", "yaml")):
        raise ValueError(f"{where}: neither run nor marked: put '% not run: REASON' above it")
    file, reason = (value if kind == name else "" for name in ("file", "not run"))
    return Block(page, token.map[0] + 1, language, token.content, file, reason, is_output)
