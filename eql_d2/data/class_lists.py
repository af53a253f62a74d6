"""The list of classes: that of the training data, also where test data show only some of them."""

import contextlib
import functools
import os
from collections.abc import Callable, Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..exceptions import InputError
from .datasets.open_images.classes import read_categories

KINDS = ("thing_classes", "stuff_classes")


def class_names(dataset_name: str, kind: str = "thing_classes") -> list[str] | None:
    """Names of the classes of a registered data set; None where it has none of the kind, or where
    they are not known before it is loaded.

    Args:
        dataset_name: of the data set.
        kind: "thing_classes", or "stuff_classes" of label maps.
    """
    metadata = MetadataCatalog.get(dataset_name)
    if metadata.get(kind) is not None:
        return list(metadata.get(kind))
    is_open_images = metadata.get("evaluator_type") == "open_images" and kind == "thing_classes"
    if is_open_images and os.path.isfile(metadata.json_file):
        with contextlib.suppress(InputError):  # whoever loads the data will say what is wrong
            return [category["name"] for category in read_categories(metadata.json_file)]
    return None


def adopt_training_classes(training: Sequence[str], test: Sequence[str]) -> None:
    """Give test data whose classes are some of those of the training data the whole list.

    Classes are told by their names. The labels of such a data set become indices of the training
    classes, and it is evaluated on the classes that it shows. What test data have adopted before,
    from other training data, they give up.

    Args:
        training, test: names of registered data sets.

    Raises:
        InputError: test data have a class that the training data do not have, or are a long tail
            cut from a file; a class folder of the training data is empty.
    """
    for name in test:
        if not MetadataCatalog.get(name).get("has_whole_file", True):
            raise InputError(
                f"test data {name!r} are a long tail cut from a file, in which the evaluator would "
                "count what is left out as missed: register the whole file for the test, --dataset"
            )
    for name in training:
        empty = MetadataCatalog.get(name).get("empty_classes")
        if empty:
            raise InputError(
                f"training data {name!r}: class folder {empty[0]!r} has no image: add images, "
                "remove the folder, or name the class in a file classes.txt beside the folders"
            )
    for kind in KINDS:
        known = (class_names(name, kind) for name in training)
        classes = next((names for names in known if names is not None), None)
        for name in test if classes is not None else ():
            if class_names(name, kind) != classes:
                _restore(name)
            own = class_names(name, kind)
            if own is not None and own != classes:
                _check_subset(name, own, training, classes)
                _adopt(name, kind, [classes.index(class_name) for class_name in own], classes)


def _check_subset(name: str, own: list[str], training: Sequence[str], classes: list[str]) -> None:
    unknown = [class_name for class_name in own if class_name not in classes]
    if unknown or len(set(own)) < len(own):
        what = f"class {unknown[0]!r}" if unknown else "two classes of one name"
        raise InputError(
            f"data set {name!r} ({len(own)}) and training data {', '.join(map(repr, training))} "
            f"({len(classes)}) have different categories: {name!r} has {what}; give test data "
            "classes of the training data only"
        )


def _adopt(name: str, kind: str, index_of: list[int], classes: list[str]) -> None:
    """Register the data set anew, with class i as class ``index_of[i]`` of the longer list."""
    load, own = DatasetCatalog[name], MetadataCatalog.get(name).as_dict()
    metadata = own | {kind: classes, "before_adoption": (load, own)}
    if kind == "stuff_classes":
        metadata["label_index"] = index_of
    metadata.pop("class_image_count", None)  # of the test data, in their order
    ids = metadata.get("thing_dataset_id_to_contiguous_id")
    if ids and kind == "thing_classes":
        ids = {category_id: index_of[i] for category_id, i in ids.items()}
        # Ids that the file does not have stand for the other classes: they are never evaluated.
        missing = sorted(set(range(len(classes))) - set(ids.values()))
        ids |= dict(zip(range(max(ids) + 1, max(ids) + 1 + len(missing)), missing))
        metadata["thing_dataset_id_to_contiguous_id"] = ids
    _register_anew(name, functools.partial(_load_with_classes, load, index_of), metadata)


def _restore(name: str) -> None:
    """Undo :func:`_adopt`, if it has been done."""
    before = MetadataCatalog.get(name).get("before_adoption")
    if before is not None:
        _register_anew(name, *before)


def _register_anew(name: str, load: Callable[[], list[dict]], metadata: dict) -> None:
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).set(**{k: v for k, v in metadata.items() if k != "name"})


def _load_with_classes(load: Callable[[], list[dict]], index_of: list[int]) -> list[dict]:
    records = load()
    for record in records:
        for annotation in record.get("annotations", ()):
            annotation["category_id"] = index_of[annotation["category_id"]]
    return records
