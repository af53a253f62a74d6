"""From figures and values to a page that needs no other file, and to files that appear complete."""

import base64
import datetime
import hashlib
import io
import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path

import jinja2
from markupsafe import Markup

from ..files import open_atomic
from ..versions import __version__
from .drawing import ReportFigure

_FOLDER = Path(__file__).parent
_SCRIPTS = ("printing.js",)
_TABLE_SCRIPTS = ("dataTables.min.js", "categories.js")
_DOTS_PER_INCH = 150
# On the page letters of 10 points have 14 pixels.
_PIXELS_PER_INCH = 100


def save_figures(
    figures: Iterable[ReportFigure], folder: Path
) -> list[tuple[ReportFigure, int, str]]:
    """Write each figure to ``folder/<key>.png``, for papers.

    Returns:
        Each figure, its width in pixels on the page, and its address for an ``<img>``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    saved = []
    for figure in figures:
        figure = figure._replace(key=re.sub(r"[^\w-]", "-", figure.key))
        buffer = io.BytesIO()
        figure.figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
        temporary = folder / f"{figure.key}.png.tmp"
        temporary.write_bytes(buffer.getvalue())
        os.replace(temporary, folder / f"{figure.key}.png")
        width = round(figure.figure.get_figwidth() * _PIXELS_PER_INCH)
        saved.append((figure, width, data_address("image/png", buffer.getvalue())))
    return saved


def data_address(media_type: str, content: bytes) -> str:
    """Content of a file as an address, so that the page needs no file beside it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def write_page(path: Path, template: str, **values) -> None:
    """Fill in a template of this package, escaping all values, and write the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["spans"] = _spans
    names = (*_SCRIPTS, *_TABLE_SCRIPTS) if values["table"] else _SCRIPTS
    script = "\n".join(map(_static, names))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template(template).render(
        style=Markup(_static("style.css")),  # no user's text is in these two
        script=Markup(script),
        script_digest=digest,
        version=__version__,
        date=datetime.date.today().isoformat(),
        **values,
    )
    with open_atomic(path) as file:
        file.write(page)


def _spans(values: Iterable[str]) -> list[tuple[str, int]]:
    """Each value that is not that of the cell before, and over how many cells it goes."""
    return [(value, len(list(cells))) for value, cells in itertools.groupby(values)]


def _static(name: str) -> str:
    return (_FOLDER / "static" / name).read_text(encoding="utf-8")
