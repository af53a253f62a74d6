"""What the training data and data to test on have to do with each other: classes, and images."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Mapping

from ...messages import shown
from .contents import Contents
from .findings import Findings


def compare(training: Contents, test: Contents) -> Findings:
    """Find classes that one of two data sets alone has, and images that both have.

    Args:
        training, test: what the two hold.

    Returns:
        All differences, each with its name.
    """
    findings = Findings()
    spelled = {_spelling(class_name): class_name for class_name in training.classes}

    def unknown_class(class_name: str) -> str:
        alike = spelled.get(_spelling(class_name))
        written = "" if alike is None else f", which the training data write {shown(alike)}"
        return test.describe(class_name) + written

    findings.error(
        "classes of the test data that the training data do not have",
        "a training refuses them: give test data classes of the training data only",
        [class_name for class_name in test.classes if class_name not in training.classes],
        unknown_class,
        num_examples=None,
    )
    findings.warning(
        "classes of the training data that the test data do not have",
        "they are not evaluated: no average counts them",
        [class_name for class_name in training.classes if class_name not in test.classes],
        training.describe,
        num_examples=None,
    )
    _compare_images(findings, training.images, test.images)
    return findings


def say_order(training: Contents, test: Contents) -> str:
    """How the two lists of classes compare where one has all classes of the other, in words."""
    common = [class_name for class_name in training.classes if class_name in test.classes]
    of_test = [class_name for class_name in test.classes if class_name in training.classes]
    order = (
        "" if common == of_test else ", in another order (harmless: they are told by their names)"
    )
    is_same = len(common) == len(training.classes) == len(test.classes)
    return f"{'the same' if is_same else 'in common'} {len(common):,} classes{order}"


def _spelling(class_name: str) -> str:
    """What two names have in common that differ in capitals, spaces or signs alone."""
    return "".join(filter(str.isalnum, class_name.casefold())) or class_name


def _compare_images(
    findings: Findings, training: Mapping[str, str], test: Mapping[str, str]
) -> None:
    by_size = defaultdict(list)
    for path in training.values():
        by_size[_size(path)].append(path)
    digests: dict[str, bytes] = {}
    same, alike = [], []
    for name, path in test.items():
        candidates = by_size.get(_size(path), ())
        twin = next((c for c in candidates if _digest(c, digests) == _digest(path, digests)), None)
        if twin is not None:
            same.append((path, twin))
        elif name in training:
            alike.append(name)
    findings.warning(
        "images that are in both sets",
        "take each out of one of them: a test on what has been trained on says too much",
        same,
        lambda pair: f"image {pair[0]!r}" + (f" is {pair[1]!r}" if pair[0] != pair[1] else ""),
        num_examples=None,
    )
    findings.warning(
        "file names that are in both sets, with other bytes",
        "harmless if they are other pictures",
        alike,
        lambda name: f"image {name!r}",
    )


def _size(path: str) -> int | None:
    try:
        return os.path.getsize(path)
    except OSError:  # which the checks of the images name
        return None


def _digest(path: str, known: dict[str, bytes]) -> bytes:
    """Of the bytes of a file, read once; of its path where it cannot be read."""
    if path not in known:
        try:
            with open(path, "rb") as file:
                known[path] = hashlib.blake2b(file.read()).digest()
        except OSError:
            known[path] = path.encode()
    return known[path]
