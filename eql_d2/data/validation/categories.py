"""The rules for the categories of a file in COCO or LVIS format, and which of them is a root."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...messages import shown
from .findings import Findings
from .flat import are_integers, is_integer


def used_ids(annotations: Sequence[dict]) -> set[int]:
    """Category ids of the annotations."""
    used = [annotation.get("category_id") for annotation in annotations]
    return set(used if are_integers(used) else filter(is_integer, used))


def root_category(data: dict) -> dict | None:
    """The root of an export, which stands for the whole list and is no class.

    Roboflow's exports begin with one: it has no annotation, all others name it as their
    supercategory, and it has none of the categories as its own.

    Args:
        data: content of the file.

    Returns:
        The category, or None.
    """
    categories = data["categories"]
    above = Counter(c["supercategory"] for c in categories if _is_text(c.get("supercategory")))
    names = {category["name"] for category in categories if _is_text(category.get("name"))}
    for root in categories:
        name, own = root.get("name"), root.get("supercategory")
        if not (_is_text(name) and above[name] == len(categories) - 1 > 0):
            continue
        if not (_is_text(own) and own in names) and not _is_used(root, data):
            return root
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_used(category: dict, data: dict) -> bool:
    """Whether an annotation has the category; ids may be given as text."""
    wanted = str(category.get("id"))
    return any(str(a.get("category_id")) == wanted for a in data.get("annotations", ()))


def leave_out_root(data: dict) -> dict | None:
    """Remove the root category from the content of a file, in place, and return it."""
    root = root_category(data)
    if root is not None:
        data["categories"] = [category for category in data["categories"] if category is not root]
    return root


def check_categories(findings: Findings, where: str, data: dict) -> list[dict]:
    """Check the list of categories; a root is no part of it, with a warning.

    Args:
        findings: what is wrong is added to it.
        where: the annotation file, for messages.
        data: content of the file.

    Returns:
        The categories without a root.
    """
    root = root_category(data)
    findings.warning(
        "root categories of an export",
        "it is no class, and is left out",
        [] if root is None else [root],
        lambda c: (
            f"category {shown(c.get('id'))} ({shown(c['name'])}) is the supercategory of all "
            "others and has no annotation"
        ),
    )
    categories = [category for category in data["categories"] if category is not root]
    if not categories:
        fix = "list those of the data set, with id and name"
        findings.error("files without categories", fix, [f"{where} has no categories"])
    names = [category.get("name") for category in categories]
    strange = [i for i, name in enumerate(names) if not isinstance(name, (str, int, type(None)))]
    findings.error(
        "categories whose name is no text",
        "give each a name",
        strange,
        lambda i: f"category {shown(categories[i].get('id'))} has name {shown(names[i])}",
    )
    counts = Counter(str(name) for name in names if isinstance(name, (str, int)))
    findings.error(
        "categories with the same name",
        "give each category a name of its own: classes are told by their names",
        [name for name, count in counts.items() if count > 1],
        lambda name: f"there are {counts[name]} categories with the same name {shown(name)}",
    )
    return categories


def check_used(findings: Findings, data: dict) -> None:
    """Name the categories that no annotation has, and those that only crowd regions show."""
    categories = [c for c in data["categories"] if is_integer(c.get("id"))]
    used = used_ids(data["annotations"])
    findings.warning(
        "categories without an annotation",
        unseen_fix(findings),
        [c for c in categories if c["id"] not in used],
        lambda c: f"category {c['id']} ({shown(c.get('name'))}) has no annotation",
    )
    trained = used_ids(
        [a for a in data["annotations"] if not (a.get("iscrowd") or a.get("ignore"))]
    )
    findings.warning(
        "categories that only crowd regions show",
        "they are not trained on, counted or evaluated: CVAT and Datumaro make them of what the "
        "brush has painted (export polygons, or set iscrowd 0)",
        [c for c in categories if c["id"] in used - trained],
        lambda c: f"category {c['id']} ({shown(c.get('name'))}) has only annotations with iscrowd",
    )


def unseen_fix(findings: Findings) -> str:
    """What to do about a class that the data do not show."""
    if findings.is_test:
        return "it is not evaluated: no average counts it"
    return "a class of the training data needs one to be learned"


def unknown_category_fix(annotations: Sequence[dict], known: set[int]) -> str:
    """What to do about annotations of unknown categories: ids may be off by one altogether."""
    used = used_ids(annotations)
    for shift, what in ((-1, "1 less"), (1, "1 more")):
        if used and {category_id + shift for category_id in used} <= known:
            return (
                f"the annotations count from {min(used)}, the categories from {min(known)}: all "
                f"fit if those of the annotations are {what}"
            )
    return "add the category or remove the annotation"
