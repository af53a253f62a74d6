"""The list of classes: that of the training data, also where data show only some of them."""

import contextlib
import functools
import operator
import os
from collections.abc import Callable, Sequence

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..exceptions import InputError
from ..files import read_json
from .datasets.open_images.classes import read_categories

KINDS = ("thing_classes", "stuff_classes")
_NUM_NAMED = 3  # of the classes in which two lists differ


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
    evaluator_type, json_file = metadata.get("evaluator_type"), metadata.get("json_file")
    # Detectron2's register_coco_instances names the classes when they are loaded, by their ids.
    readers = {"open_images": read_categories, "coco": _categories_by_id}
    if kind == "thing_classes" and evaluator_type in readers and os.path.isfile(json_file or ""):
        with contextlib.suppress(InputError):  # whoever loads the data will say what is wrong
            return [category["name"] for category in readers[evaluator_type](json_file)]
    return None


def _categories_by_id(json_file: str) -> Sequence[dict]:
    return _read_categories_by_id(json_file, os.stat(json_file).st_mtime_ns)


@functools.lru_cache(maxsize=32)  # of a file as it is now
def _read_categories_by_id(json_file: str, modified: int) -> Sequence[dict]:
    content = read_json(json_file)
    try:
        return sorted(content["categories"], key=operator.itemgetter("id", "name"))
    except (KeyError, TypeError) as error:
        raise InputError(f"{json_file!r} has no categories with id and name") from error


def adopt_training_classes(training: Sequence[str], test: Sequence[str]) -> None:
    """Give all data the list of classes of the training data.

    Classes are told by their names. Of several training data sets the first counts whose list has
    the classes of all others. A data set with a shorter list, or with another order, is registered
    anew: its labels become indices of that list, and test data are evaluated on the classes that
    they show. What data have adopted before, in other company, they give up.

    Args:
        training, test: names of registered data sets.

    Raises:
        InputError: no training data set has the classes of all others, test data have a class that
            the training data do not have, or are a long tail cut from a file; the training data
            have no annotation, or an empty class folder.
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
    if training and not any(
        MetadataCatalog.get(name).get("num_annotated_images", 1) for name in training
    ):
        raise InputError(
            f"training data {', '.join(map(repr, training))} have no annotations: a file of images "
            "and categories alone is for a test"
        )
    lists = {kind: _joint_list(training, kind) for kind in KINDS}
    for name in dict.fromkeys([*training, *test]):
        wanted = {
            kind: classes
            for kind, classes in lists.items()
            if classes is not None and _own_names(name, kind) is not None
        }
        if any(class_names(name, kind) != classes for kind, classes in wanted.items()):
            _restore(name)
            _adopt(name, {k: c for k, c in wanted.items() if class_names(name, k) != c}, training)


def different_classes(one: Sequence[str], others: Sequence[str]) -> str:
    """The first classes of a list that another one does not have, and how many more; may be empty.

    Returns:
        For example "class 'a'" or "classes 'a', 'b', 'c' and 2 more".
    """
    known = set(others)
    missing = [class_name for class_name in one if class_name not in known]
    named = ", ".join(map(repr, missing[:_NUM_NAMED]))
    more = f" and {len(missing) - _NUM_NAMED} more" if len(missing) > _NUM_NAMED else ""
    return f"class{'es' * (len(missing) > 1)} {named}{more}" if missing else ""


def _own_names(name: str, kind: str) -> list[str] | None:
    """The names that a data set has by itself, whatever list it has adopted."""
    before = MetadataCatalog.get(name).get("before_adoption")
    return class_names(name, kind) if before is None else before[1].get(kind)


def _joint_list(training: Sequence[str], kind: str) -> list[str] | None:
    """The list of the first training data set that has the classes of all; None where none has a
    list of the kind."""
    known = {name: own for name in training if (own := _own_names(name, kind)) is not None}
    if not known:
        return None
    of_all = set().union(*known.values())
    joint = next((own for own in known.values() if set(own) == of_all), None)
    first = next(iter(known))
    for name, own in known.items():
        if own == (joint or known[first]) or (joint and _takes_another_list(name, own, kind)):
            continue
        sides = ((first, known[first], own), (name, own, known[first]))
        found = [f"{one!r} has {what}" for one, *two in sides if (what := different_classes(*two))]
        raise InputError(
            f"training data {first!r} ({len(known[first])}) and {name!r} ({len(own)}) have "
            f"different categories: {' and '.join(found) or 'their order differs'}; give both the "
            "same list"
        )
    return joint


def _takes_another_list(name: str, own: list[str], kind: str) -> bool:
    """Whether training data can have their labels as indices of another list: those of Open Images
    are counted by their own, and of label maps ours alone are read so."""
    evaluator_type = MetadataCatalog.get(name).get("evaluator_type")
    is_mapped = (evaluator_type == "sem_seg") == (kind == "stuff_classes")
    return is_mapped and evaluator_type != "open_images" and len(set(own)) == len(own)


def _adopt(name: str, wanted: dict[str, list[str]], training: Sequence[str]) -> None:
    """Register the data set anew, with each of its classes at its place in a wanted list."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") == "coco" and metadata.get("thing_classes") is None:
        DatasetCatalog.get(name)  # which sets the classes of the file
    load, own = DatasetCatalog[name], metadata.as_dict()
    metadata = own | wanted | {"before_adoption": (load, own)}
    index_of = {}
    for kind, classes in wanted.items():
        names = class_names(name, kind)
        _check_subset(name, names, training, classes)
        index_of[kind] = [classes.index(class_name) for class_name in names]
    things, labels = map(index_of.get, KINDS)
    metadata.pop("class_image_count", None)  # in the order of the file
    metadata["label_index"] = labels
    ids = metadata.get("thing_dataset_id_to_contiguous_id")
    if ids and things:
        ids = {category_id: things[i] for category_id, i in ids.items()}
        # Ids that the file does not have stand for the other classes: they are never evaluated.
        missing = sorted(set(range(len(wanted["thing_classes"]))) - set(ids.values()))
        ids |= dict(zip(range(max(ids) + 1, max(ids) + 1 + len(missing)), missing))
        metadata["thing_dataset_id_to_contiguous_id"] = ids
    load = functools.partial(_load_with_classes, name, load, own, things, labels)
    _register_anew(name, load, metadata)


def _check_subset(name: str, own: list[str], training: Sequence[str], classes: list[str]) -> None:
    unknown = different_classes(own, classes)
    if unknown or len(set(own)) < len(own):
        raise InputError(
            f"data set {name!r} ({len(own)}) and training data {', '.join(map(repr, training))} "
            f"({len(classes)}) have different categories: {name!r} has "
            f"{unknown or 'two classes of one name'}; give test data classes of the training data "
            "only"
        )


def _restore(name: str) -> None:
    """Undo :func:`_adopt`, if it has been done."""
    before = MetadataCatalog.get(name).get("before_adoption")
    if before is not None:
        _register_anew(name, *before)


def _register_anew(name: str, load: Callable[[], list[dict]], metadata: dict) -> None:
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)
    DatasetCatalog.register(name, load)
    _set_metadata(name, metadata)


def _set_metadata(name: str, metadata: dict) -> None:
    MetadataCatalog.get(name).set(**{k: v for k, v in metadata.items() if k != "name"})


def _load_with_classes(
    name: str,
    load: Callable[[], list[dict]],
    own: dict,
    things: list[int] | None,
    labels: list[int] | None,
) -> list[dict]:
    adopted = MetadataCatalog.pop(name)
    _set_metadata(name, own)  # Detectron2's functions set the classes of the file, or see the same
    try:
        records = load()
    finally:
        MetadataCatalog[name] = adopted
    for record in records:
        if labels is not None:
            record["label_index"] = labels
        for annotation in record.get("annotations", ()) if things is not None else ():
            annotation["category_id"] = things[annotation["category_id"]]
    return records
