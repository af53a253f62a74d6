"""A long tail cut from a data set: how many images each class keeps, and which."""

import logging
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...exceptions import InputError

logger = logging.getLogger(__name__)

# The generator whose stream NumPy has promised never to change.
_Random = np.random.RandomState


class LongTail(NamedTuple):
    """Which long tail to cut from a data set, profile "exp": see :func:`long_tail_counts`.

    Attributes:
        factor: images of the most frequent class over those of the rarest, at least 1.
        seed: chooses the order of the classes and the images that stay, 0 or more.
    """

    factor: float
    seed: int


def check_long_tail(name: str, long_tail: LongTail) -> None:
    """Refuse a factor below 1 or a seed that is none, of data set `name`."""
    factor, seed = long_tail
    if not (_is_number(factor, (int, float)) and 1 <= factor < math.inf):
        raise InputError(
            f"data set {name!r}: long-tail factor is {factor!r}: give the images of the most "
            "frequent class over those of the rarest, 1 or more"
        )
    if not (_is_number(seed, (int,)) and 0 <= seed < 2**32):
        raise InputError(f"data set {name!r}: long-tail seed is {seed!r}: give 0 to 2^32 - 1")


def long_tail_counts(class_sizes: Sequence[int], long_tail: LongTail) -> list[int]:
    r"""How many images each class keeps by the profile "exp".

    The seed gives each class a rank k, 0 to C - 1. With n images in the largest class, the class of
    rank k keeps

    .. math:: \max(1, \mathrm{round}(n \cdot factor^{-k / (C - 1)}))

    images, or all that it has if they are fewer. A class without an image has no rank.

    Args:
        class_sizes: images of each class, (C,).
        long_tail: factor and seed.

    Returns:
        (C,), in the order of `class_sizes`.
    """
    with_image = [label for label, size in enumerate(class_sizes) if size]
    ranks = _Random(long_tail.seed).permutation(len(with_image))
    largest, last_rank = max(class_sizes), max(len(with_image) - 1, 1)
    counts = [0] * len(class_sizes)
    for label, rank in zip(with_image, ranks):
        wanted = max(1, round(largest * long_tail.factor ** (-int(rank) / last_rank)))
        counts[label] = min(class_sizes[label], wanted)
    return counts


def shuffled(items: Sequence, label: int, long_tail: LongTail) -> list:
    """The images of class `label` in an order of its own: an image more in another class changes
    nothing here."""
    return [items[i] for i in _Random([long_tail.seed, label]).permutation(len(items))]


def cut_records(
    name: str, records: list[dict], classes: Sequence[str], long_tail: LongTail
) -> list[dict]:
    """Cut a long tail from images that hold objects of several classes.

    Only whole images go: an object whose annotation alone were gone would be learned as background.
    So classes that share images cannot be cut one by one, and the rule is this. The images that
    hold a class are counted, as LVIS counts them, and :func:`long_tail_counts` says how many each
    class may keep. From the class that may keep fewest to the one that may keep most, the images of
    a class are taken in random order until it has its number; an image that would give another
    class more than its own is passed over. A class that would be left without any image gets the
    one that brings the fewest classes above their numbers. Images without an object stay, and so do
    classes without one, which a warning names.

    So no class has more images than the profile but for that last case, the tail is what was asked
    for, and the classes of the head, which share most images with others, may have fewer. One line
    of the log says what came out.

    Args:
        name: of the data set, for messages.
        records: in Detectron2's standard format; crowd regions do not count as objects.
        classes: names, by contiguous class index.
        long_tail: factor and seed. The same arguments keep the same images.

    Returns:
        The records that stay, in their order.

    Raises:
        InputError: the factor is below 1, the seed is no integer of 0 or more, or there is no
            object at all.
    """
    check_long_tail(name, long_tail)
    shown = [
        {a["category_id"] for a in record["annotations"] if not a.get("iscrowd", 0)}
        for record in records
    ]
    images_of: list[list[int]] = [[] for _ in classes]
    for image, labels in enumerate(shown):
        for label in labels:
            images_of[label].append(image)
    if not any(images_of):
        raise InputError(f"data set {name!r} has no object: there is no long tail to cut from it")
    if without := [c for c, images in zip(classes, images_of) if not images]:
        logger.warning(
            f"data set {name!r}: {len(without)} of {len(classes)} categories have no object and no "
            f"place in the long tail: {', '.join(map(repr, without))}"
        )
    profile = long_tail_counts([len(images) for images in images_of], long_tail)
    counts, kept = [0] * len(classes), {i for i, labels in enumerate(shown) if not labels}

    def keep(image: int) -> None:
        kept.add(image)
        for label in shown[image]:
            counts[label] += 1

    def num_full(image: int) -> int:
        return sum(counts[label] >= profile[label] for label in shown[image])

    for label in sorted(range(len(classes)), key=lambda label: profile[label]):
        images = shuffled(images_of[label], label, long_tail)
        for image in images:
            # An image with this class is passed over, too, once the class has its number.
            if image not in kept and not num_full(image):
                keep(image)
        if images and not counts[label]:
            keep(min(images, key=num_full))
    counts, profile = ([n for n, images in zip(x, images_of) if images] for x in (counts, profile))
    logger.info(
        f"{name}: long tail of factor {long_tail.factor:g}, seed {long_tail.seed}: {len(kept)} of "
        f"{len(records)} images; images of a class: {max(counts)} to {min(counts)} (profile "
        f"{max(profile)} to {min(profile)}), fewer than the profile in "
        f"{sum(c < p for c, p in zip(counts, profile))} and more in "
        f"{sum(c > p for c, p in zip(counts, profile))} of {len(counts)} classes"
    )
    return [record for i, record in enumerate(records) if i in kept]


def _is_number(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
