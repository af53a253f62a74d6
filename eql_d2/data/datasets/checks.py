"""What must hold of every data set that is registered: a free name, class names, image files."""

import os
from collections.abc import Sequence

from detectron2.data import DatasetCatalog

from ...exceptions import InputError


def check_name(name: str) -> None:
    """Refuse a name that is taken, before reading files takes its time."""
    if name in DatasetCatalog.list():
        raise InputError(f"data set {name!r} is registered already: choose another name")


def check_files(where: str, records: Sequence[dict]) -> None:
    """Refuse records without their image files; the message begins with `where`."""
    missing = [record["file_name"] for record in records if not os.path.isfile(record["file_name"])]
    if missing:
        raise InputError(
            f"{where}: {len(missing)} of {len(records)} images are missing, the first is "
            f"{missing[0]!r}: check the image folder"
        )


def read_class_file(name: str, class_file: str, most: int | None = None) -> list[str]:
    """Names of classes, one a line.

    Args:
        name: of the data set, for the message.
        class_file: text file.
        most: largest number of classes; None for any.

    Raises:
        InputError: the file cannot be read; there is no name, too many, or one twice.
    """
    where = f"data set {name!r}: class file {class_file!r}"
    try:
        with open(class_file, encoding="utf-8") as file:
            classes = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{where} cannot be read ({error}): check the path") from error
    while classes and not classes[-1]:
        classes.pop()
    if not classes or len(classes) > (most or len(classes)):
        raise InputError(f"{where} has {len(classes)} classes: write 1 to {most or 'any'} lines")
    for i, class_name in enumerate(classes):
        if not class_name or class_name in classes[:i]:
            raise InputError(
                f"{where}: line {i + 1} is {class_name!r}, empty or there already: give each class "
                "a name of its own"
            )
    return classes
