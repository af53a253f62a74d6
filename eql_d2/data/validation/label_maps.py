"""The rules for label maps: of each file, and of the classes that all of them show."""

import itertools
from collections.abc import Sequence

import numpy as np

from ...exceptions import InputError
from ...messages import shown
from ..image_files import check_label_map_size, read_label_map
from .categories import unseen_fix
from .findings import Findings
from .images import check_images, sample


def check_labelled_images(
    findings: Findings,
    records: Sequence[dict],
    count: int | None,
    classes: Sequence[str],
    ignore_label: int,
    max_pixels: int,
) -> None:
    """Read images and their label maps whole.

    Args:
        findings, max_pixels: see :func:`check_images`.
        records: with "file_name" and "sem_seg_file_name".
        count: how many are read, an even sample; None for all. Where the sample shows no two
            classes, more label maps are read until one shows another.
        classes: names; if there are none, any label will do.
        ignore_label: value of pixels without a label.
    """
    chosen = sample(records, count)
    shapes = check_images(findings, chosen, max_pixels)
    unusable, other_size, occurs = [], [], np.zeros(256, dtype=bool)
    are_chosen = set(map(id, chosen))
    rest = [record for record in records if id(record) not in are_chosen] if chosen else []
    for i, record in enumerate(itertools.chain(chosen, rest)):
        if i >= len(chosen) and np.delete(occurs, ignore_label).sum() > 1:
            break
        path, list_ = record["sem_seg_file_name"], unusable
        try:
            labels = read_label_map(path, len(classes) or ignore_label, ignore_label, max_pixels)
            occurs |= np.bincount(labels.ravel(), minlength=256) > 0
            list_ = other_size
            check_label_map_size(path, labels.shape, shapes.get(record["file_name"], labels.shape))
        except InputError as error:
            list_.append(error)
    findings.error("label maps that cannot be used", "", unusable)
    findings.error("label maps of another size than their images", "", other_size)
    if classes and chosen and not unusable:
        is_ignored, occurs = occurs[ignore_label], occurs[: len(classes)]
        _check_variety(findings, len(records), classes, occurs, is_ignored, ignore_label)
        if len(chosen) == len(records) or occurs.sum() < 2:  # then all have been read
            _check_presence(findings, classes, occurs)


def _check_variety(
    findings: Findings,
    num_maps: int,
    classes: Sequence[str],
    occurs: np.ndarray,
    is_ignored: bool,
    ignore_label: int,
) -> None:
    """Find label maps in which there is nothing to tell apart."""
    only = np.flatnonzero(occurs).tolist()
    if len(only) > 1:
        return
    maps, ignored = f"all {num_maps:,} label maps", f"{ignore_label}, which is ignored"
    looks_binary = only == [0] and is_ignored and len(classes) < 3
    vanished = "".join(f": class 1 ({shown(name)}) is in none" for name in classes[1:])
    findings.error(
        "label maps without a label",
        "write class indices from 0",
        [] if only else [f"{maps} have the one value {ignored}"],
    )
    findings.error(
        "label maps that look like binary masks",
        f"write class indices, 0 and 1 in the place of 0 and {ignore_label}",
        [f"{maps} have the values 0 and {ignored}, alone, as binary masks{vanished}"]
        if looks_binary
        else [],
    )
    beside = f" and {ignored}" if is_ignored else ""
    findings.warning(
        "label maps of one class alone",
        "a training needs two classes to tell apart",
        [] if looks_binary else only,
        lambda i: f"{maps} have the label {i} ({shown(classes[i])}){beside}, alone",
    )


def _check_presence(findings: Findings, classes: Sequence[str], occurs: np.ndarray) -> None:
    findings.warning(
        "classes that are in no label map",
        unseen_fix(findings),
        np.flatnonzero(~occurs),
        lambda i: f"class {i} ({shown(classes[i])}) is in no label map",
    )
