"""What must hold of every data set that is registered: a free name, class names, image files."""

import itertools
import os
from collections.abc import Sequence

from detectron2.data import DatasetCatalog

from ...exceptions import InputError
from ...files import read_text
from ...foreign_formats import list_format
from ...messages import shown
from ..validation.findings import Findings
from ..validation.missing_files import existing_folder, why_missing

_CONTROLS = frozenset(map(chr, range(32)))


def check_name(name: str) -> None:
    """Refuse a name that is taken, before reading files takes its time."""
    if name in DatasetCatalog.list():
        raise InputError(f"data set {name!r} is registered already: choose another name")


def check_files(
    findings: Findings, where: str, records: Sequence[dict], folder: str | None = None
) -> list[dict]:
    """The records that have their image files.

    Args:
        findings: what is wrong is added to it.
        where: beginning of the messages.
        records: in Detectron2's standard format.
        folder: that the names of the files start from; None where that is not known.
    """
    is_there = [os.path.isfile(record["file_name"]) for record in records]
    missing = [record["file_name"] for record, there in zip(records, is_there) if not there]

    def why(path: str) -> str:
        start = existing_folder(path) if folder is None else folder
        return why_missing(start, path.removeprefix(os.path.join(start, ""))) if start else ""

    first = f"{missing[0]!r}{why(missing[0])}" if missing else ""
    findings.error(
        "missing images",
        "check the image folder",
        missing,
        lambda path: f"{where}image {path!r} is missing{why(path)}",
        line=f"{where}{len(missing)} of {len(records)} images are missing, the first is {first}",
    )
    return list(itertools.compress(records, is_there))


def read_class_file(findings: Findings, class_file: str, most: int | None = None) -> list[str]:
    """Names of classes, one a line.

    Args:
        findings: what is wrong is added to it.
        class_file: text file.
        most: largest number of classes; None for any.
    """
    where = f"class file {class_file!r}"
    if not os.path.exists(class_file):
        findings.error("missing files", "check the path", [f"{where} does not exist"])
        return []
    try:
        text = read_text(class_file)
    except InputError as error:
        findings.error("class files that cannot be read", "", [str(error)])
        return []
    foreign = list_format(text)
    if foreign is not None:
        fix = "write one class name a line"
        findings.error("class files of another format", fix, [f"{where} {foreign}"])
        return []
    classes = [line.strip() for line in text.split("\n")]
    while classes and not classes[-1]:
        classes.pop()
    if not classes or len(classes) > (most or len(classes)):
        findings.error(
            "class files with too few or too many classes",
            f"write 1 to {most or 'any'} lines",
            [f"{where} has {len(classes)} classes"],
        )
    first = {class_name: i for i, class_name in reversed(list(enumerate(classes)))}
    findings.error(
        "lines of a class file that are empty, there already or no text",
        "give each class a name of its own",
        [
            i
            for i, class_name in enumerate(classes)
            if not class_name or first[class_name] < i or not _CONTROLS.isdisjoint(class_name)
        ],
        lambda i: f"{where}: line {i + 1} is {shown(classes[i])}, empty, there already or no text",
    )
    return classes
