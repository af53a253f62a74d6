"""Groups of categories by how often they occur in the training data, and the rule as text."""

import dataclasses
from collections.abc import Mapping, Sequence
from numbers import Real

import numpy as np

from ..exceptions import InputError

# A category without a training image is no rare one: nothing can be learned of it.
WITHOUT_IMAGE = "0"
_WITHOUT_IMAGE = {WITHOUT_IMAGE: "without an image"}
# Groups and their names, from frequent to rare: of LVIS, and the five parts of Open Images.
GROUP_NAMES = {
    "f": "frequent",
    "c": "common",
    "r": "rare",
    **{part: f"group {part} of 5" for part in "54321"},
    **_WITHOUT_IMAGE,
}
# What image classification and semantic segmentation call the same groups
SHOT_NAMES = {"f": "many", "c": "medium", "r": "few"} | _WITHOUT_IMAGE
LABEL_MAP_NAMES = {"f": "head", "c": "common", "r": "tail"} | _WITHOUT_IMAGE
QUANTILES = ("1", "2", "3", "4", "5")


@dataclasses.dataclass(frozen=True)
class CategoryGroups:
    """A group for each category.

    Attributes:
        groups: of each category, a key of ``GROUP_NAMES``.
        rule: how they were made, one line for people.
        thresholds: largest values of all groups but the last; () for parts of equal size.
    """

    groups: list[str]
    rule: str
    thresholds: tuple[float, ...] = ()


def frequency_groups(
    image_count: Sequence[int], thresholds: tuple[int, int] = (10, 100)
) -> list[str]:
    """Group classes as LVIS does: ``"r"`` rare, ``"c"`` common, ``"f"`` frequent; a class without
    an image is in ``"0"``.

    Args:
        image_count: training images of each class, (C,).
        thresholds: most images of a rare and of a common class; LVIS: 10 and 100.

    Raises:
        InputError: the thresholds do not rise.
    """
    if not _are_rising(thresholds):
        raise InputError(
            f"frequency thresholds are {tuple(thresholds)}: give the most images of a rare and "
            "of a common class, rising, for example (10, 100)"
        )
    return _by_thresholds(image_count, thresholds, image_count)


def group_by_images(
    image_count: Sequence[int],
    thresholds: tuple[int, int],
    names: Mapping[str, str] = GROUP_NAMES,
) -> CategoryGroups:
    """:func:`frequency_groups` with the rule, in the task's names of the groups."""
    rare, common, frequent = (names[group] for group in "rcf")
    how = f"{rare} to {thresholds[0]}, {common} to {thresholds[1]} training images"
    rule = f"{rare} / {common} / {frequent}: {how}"
    return _with_sizes(frequency_groups(image_count, thresholds), rule, "rcf", thresholds)


def group_labels(
    pixel_share: np.ndarray,
    image_count: np.ndarray,
    group_by: str = "pixels",
    thresholds: Sequence[float] = (),
) -> CategoryGroups:
    """Group the classes of label maps into head ("f"), common ("c") and tail ("r"); those that no
    map shows are in "0".

    The paper's rule for ADE20K could not be verified, so there is no default of its own: this one
    is ours, and its text belongs to each number.

    Args:
        pixel_share: share of each class in the labelled training pixels, (C,).
        image_count: training images that show each class, (C,).
        group_by: which of the two, "pixels" or "images".
        thresholds: largest value of a tail and of a common class; none makes three groups of equal
            size, ties in the order of the classes, what is left over to the head first.

    Raises:
        InputError: another rule, or not two rising thresholds.
    """
    choices = {
        "pixels": (pixel_share, "share of the labelled training pixels"),
        "images": (image_count, "training images"),
    }
    if group_by not in choices:
        raise InputError(
            f"MODEL.EQL.SEM_SEG.GROUP_BY is {group_by!r}: choose one of {', '.join(choices)}"
        )
    values, what = choices[group_by]
    if len(thresholds) and not _are_rising(thresholds):
        raise InputError(
            f"MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS is {tuple(thresholds)}: give the largest value of "
            "a tail and of a common class, rising, or () for three groups of equal size"
        )
    if len(thresholds):
        groups = _by_thresholds(values, thresholds, image_count)
        how = f"tail to {thresholds[0]:g}, common to {thresholds[1]:g} of the {what}"
    else:
        groups = _equal_parts(-np.asarray(values), "fcr", image_count)
        how = f"terciles by {what}"
    return _with_sizes(groups, f"head / common / tail: {how}", "fcr", thresholds)


def _by_thresholds(
    values: Sequence[float], thresholds: Sequence[float], count: Sequence[int]
) -> list[str]:
    """Group of each value; what has a count of 0 is in none of the three."""
    rare, common = thresholds
    groups = ["r" if value <= rare else "c" if value <= common else "f" for value in values]
    return [group if number else WITHOUT_IMAGE for group, number in zip(groups, count)]


def _are_rising(thresholds: Sequence[float]) -> bool:
    are_two = len(thresholds) == 2 and all(isinstance(value, Real) for value in thresholds)
    return are_two and 0 <= thresholds[0] < thresholds[1]


def group_by_instances(instance_count: Sequence[int]) -> CategoryGroups:
    """Five equal parts of the classes by rising counts, "1" (rarest) to "5", as EQL v2 reports
    Open Images (arXiv 2012.08548).

    Of equal counts the earlier class comes first; if C is no multiple of 5, the first groups have
    one class more. Classes without an instance are in "0", and in none of the five.

    Args:
        instance_count: training instances of each class, (C,).
    """
    rule = "groups 1 to 5: equal parts by training instances"
    groups = _equal_parts(instance_count, QUANTILES, instance_count)
    return _with_sizes(groups, rule, QUANTILES)


def _equal_parts(values: Sequence[float], names: Sequence[str], count: Sequence[int]) -> list[str]:
    """Name of the part of each value, the smallest values in the first; what has a count of 0 is
    in no part."""
    groups = np.full(len(values), WITHOUT_IMAGE, dtype=object)
    order = np.argsort(values, kind="stable")
    order = order[np.asarray(count)[order] > 0]
    for name, members in zip(names, np.array_split(order, len(names))):
        groups[members] = name
    return groups.tolist()


def _with_sizes(
    groups: list[str], rule: str, names: Sequence[str], thresholds: Sequence[float] = ()
) -> CategoryGroups:
    sizes = " / ".join(str(groups.count(name)) for name in names)
    num_without = groups.count(WITHOUT_IMAGE)
    without = f", {num_without} without an image" if num_without else ""
    return CategoryGroups(groups, f"{rule} ({sizes} classes{without})", tuple(thresholds))
