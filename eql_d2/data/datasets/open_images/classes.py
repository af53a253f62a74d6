"""The classes of Open Images: their names, their hierarchy, and how often they occur."""

import csv
import json
import os
from collections import defaultdict

from ....exceptions import InputError
from ....files import open_text, read_json


class OpenImagesClasses:
    """The classes in the order of the official file.

    Attributes:
        names: display name by Freebase id ("/m/...").
    """

    def __init__(self, path: str, names: dict[str, str]) -> None:
        self.names = names
        self._path = path
        self._index = {label: index for index, label in enumerate(names)}

    def __len__(self) -> int:
        return len(self.names)

    def index(self, label: str, where: str) -> int:
        """Index of a class, from 0.

        Raises:
            InputError: there is no such class; the message begins with `where`.
        """
        if label not in self._index:
            raise InputError(
                f"{where} has LabelName {label!r}, which is not among the {len(self)} classes of "
                f"{self._path}: the two files must be of the same version"
            )
        return self._index[label]


def read_classes(path: str | os.PathLike) -> OpenImagesClasses:
    """Read a csv file of LabelName, DisplayName without a header.

    Raises:
        InputError: the file is missing or of another form, or names a class twice.
    """
    names: dict[str, str] = {}
    with open_text(path, newline="") as file:
        for line, row in enumerate(csv.reader(file), start=1):
            if len(row) != 2 or row[0] in names:
                raise InputError(
                    f"{path} line {line} is {','.join(row)!r}: each line must be "
                    "LabelName,DisplayName of another class"
                )
            names[row[0]] = row[1]
    if not names:
        raise InputError(f"{path} is empty: it must have the classes, LabelName,DisplayName")
    return OpenImagesClasses(str(path), names)


def read_hierarchy(path: str | os.PathLike, classes: OpenImagesClasses) -> dict[int, list[int]]:
    """Read the official hierarchy: sorted ids (class index + 1) of the children by their parent's.

    A label that is not among the classes, as the root "Entity", is left out, and its children
    become those of its parent. "Part" is no subclass and does not count.

    Raises:
        InputError: the file is missing, damaged, or of other classes.
    """
    root = read_json(path)
    if not isinstance(root, dict) or "LabelName" not in root:
        raise InputError(f"{path} has no 'LabelName': it must be the official hierarchy")

    children: dict[int, set[int]] = defaultdict(set)  # those of 0 have no parent
    nodes = [(root, 0)]
    while nodes:
        node, parent = nodes.pop()
        if node["LabelName"] in classes.names:
            own = classes.index(node["LabelName"], str(path)) + 1
            children[parent].add(own)
            parent = own
        nodes += [(child, parent) for child in node.get("Subcategory", ())]
    if not children:
        raise InputError(f"{path} has none of the {len(classes)} classes: it is of other data")
    return {parent: sorted(children[parent]) for parent in sorted(children) if parent}


def read_categories(json_file: str | os.PathLike) -> list[dict]:
    """Categories in a file of the converter, by id, with ``image_count`` and ``instance_count``;
    whatever its size, only the first line is read.

    Raises:
        InputError: the file is missing, or its categories have no counts.
    """
    with open_text(json_file) as file:
        first = file.readline()
    try:
        categories = json.loads(first.rstrip().removesuffix(",") + "}")["categories"]
        categories = sorted(categories, key=lambda category: category["id"])
        valid = all({"name", "image_count", "instance_count"} <= set(c) for c in categories)
    except (ValueError, KeyError, TypeError):
        valid = False
    if not valid:
        raise InputError(
            f"{json_file} does not begin with categories that have instance_count: "
            "convert it with eql_d2.data.datasets.open_images"
        )
    return categories
