"""The rules for a file in COCO or LVIS format: its form, ids, categories and references."""

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from ...exceptions import InputError
from ...files import read_json
from ...foreign_formats import json_format
from ...messages import shown
from .categories import check_categories, check_used, unknown_category_fix
from .findings import Findings
from .flat import are_integers, is_integer
from .instances import check_instances
from .limits import Limits
from .listed_images import check_category_lists, check_images, is_federated

_LISTS = ("images", "annotations", "categories")


def read_annotations(
    findings: Findings, json_file: str, image_root: str, limits: Limits
) -> dict | None:
    """Read an annotation file and check all of it but the image files.

    Args:
        findings: what is wrong is added to it.
        json_file: path.
        image_root: folder of the images.
        limits: of the images.

    Returns:
        The content; None where it is not of the form of COCO's.
    """
    where = f"annotation file {json_file!r}"
    if not os.path.exists(json_file):
        findings.error("missing files", "check the path", [f"{where} does not exist"])
        return None
    try:
        data = read_json(json_file)
    except InputError as error:
        findings.error("files that cannot be read", "", [str(error)])
        return None
    return data if check_annotations(findings, where, data, image_root, limits) else None


def check_annotations(
    findings: Findings, where: str, data: Any, image_root: str, limits: Limits
) -> bool:
    """Check a parsed file.

    Args:
        findings, image_root, limits: see :func:`read_annotations`.
        where: the file, for messages about the whole of it.
        data: its content.

    Returns:
        Whether it is of the form of COCO's: a dict with three lists of dicts.
    """
    if not _check_form(findings, where, data):
        return False
    findings.warning(
        "files without annotations",
        "of test data the predictions are written and nothing is evaluated",
        [where] * (not data["annotations"]),
        lambda where: f"{where} has no annotations",
    )
    federated = is_federated(data["images"])
    for key in _LISTS:
        _check_ids(findings, key, data[key])
        if federated and key != "annotations":
            _check_not_negative(findings, key, data[key])
    data = data | {"categories": check_categories(findings, where, data)}
    check_images(findings, where, data["images"], image_root, limits)
    category_ids = {c["id"] for c in data["categories"] if is_integer(c.get("id"))}
    check_category_lists(findings, data["images"], category_ids)
    _check_references(findings, data, category_ids)
    check_instances(findings, data, is_lvis=federated)
    return True


def _check_form(findings: Findings, where: str, data: Any) -> bool:
    fix = "it must be in COCO or LVIS format"
    foreign = json_format(data)
    if foreign is not None:
        findings.error("files of another format", "", [f"{where} {foreign}"])
        return False
    if isinstance(data, dict) and {"images", "categories"} <= data.keys():
        data.setdefault("annotations", [])
    missing = [k for k in _LISTS if not isinstance(data, dict) or not isinstance(data.get(k), list)]
    findings.error("files of another format", fix, missing, lambda k: f"{where} has no list {k!r}")
    if missing:
        return False
    others = [
        (key, i, entry)
        for key in _LISTS
        if not {dict}.issuperset(map(type, data[key]))
        for i, entry in enumerate(data[key])
        if type(entry) is not dict
    ]
    findings.error(
        "entries of another format",
        fix,
        others,
        lambda other: f"entry {other[1]} of {other[0]!r} is {shown(other[2])}",
    )
    return not others


def _check_ids(findings: Findings, key: str, entries: list[dict]) -> None:
    ids = [entry.get("id") for entry in entries]
    if are_integers(ids) and len(set(ids)) == len(ids):
        return
    findings.error(
        f"{key} whose id is no integer",
        "give each an integer id, as validate --write does",
        [i for i, value in enumerate(ids) if not is_integer(value)],
        lambda i: f"entry {i} of {key!r} has id {shown(ids[i])}",
    )
    counts = Counter(filter(is_integer, ids))
    # Nothing refers to an annotation: the evaluation numbers them itself.
    decides = key != "annotations"
    (findings.error if decides else findings.warning)(
        f"{key} with the same id",
        "make ids unique" if decides else "they are taken; validate --write numbers them anew",
        [value for value, count in counts.items() if count > 1],
        lambda value: f"there are {counts[value]} {key} with the same id {value}",
    )


def _check_not_negative(findings: Findings, key: str, entries: list[dict]) -> None:
    findings.error(
        f"{key} with a negative id",
        "the engine of LVIS's evaluation takes 0 or more: number them anew",
        [entry for entry in entries if is_integer(entry.get("id")) and entry["id"] < 0],
        lambda entry: f"an entry of {key!r} has id {entry['id']}",
    )


def _check_references(findings: Findings, data: dict, category_ids: set[int]) -> None:
    image_ids = {image["id"] for image in data["images"] if is_integer(image.get("id"))}
    for key, known, what, describe, fix in (
        (
            "image_id",
            image_ids,
            "images",
            lambda a: f"names image {shown(a.get('image_id'))}, which is not among the images",
            "add the image or remove the annotation",
        ),
        (
            "category_id",
            category_ids,
            "categories",
            lambda a: (
                f"has category_id {shown(a.get('category_id'))}, which is not among the "
                f"{len(category_ids)} categories"
            ),
            unknown_category_fix(data["annotations"], category_ids),
        ),
    ):
        _check_reference(findings, data["annotations"], key, known, what, describe, fix)
    check_used(findings, data)


def _check_reference(
    findings: Findings,
    annotations: list[dict],
    key: str,
    known: set[int],
    what: str,
    describe: Callable[[dict], str],
    fix: str,
) -> None:
    values = [annotation.get(key) for annotation in annotations]
    if are_integers(values) and known.issuperset(values):
        return
    strange = [a for a, value in zip(annotations, values) if not is_integer(value)]
    findings.error(
        f"annotations whose {key} is no integer",
        f"give each the integer id of one of the {what} (validate --write does that for '7')",
        strange,
        lambda a: f"annotation {shown(a.get('id'))} has {key} {shown(a.get(key))}",
    )
    findings.error(
        f"annotations of unknown {what}",
        fix,
        [a for a, value in zip(annotations, values) if is_integer(value) and value not in known],
        lambda a: f"annotation {shown(a.get('id'))} {describe(a)}",
    )
