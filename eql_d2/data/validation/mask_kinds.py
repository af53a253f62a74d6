"""Which kinds of masks data sets have, against what a model and its mapper take."""

from collections import Counter
from collections.abc import Callable, Sequence

from detectron2.data import MetadataCatalog

from ...exceptions import InputError

_KINDS = {list: "polygons", dict: "run_lengths", type(None): "none"}


def count_masks(records: Sequence[dict]) -> dict[str, int]:
    """Instances with "polygons", "run_lengths" and "none"; crowd regions do not count, which
    Detectron2 does not train on."""
    kinds = Counter(
        type(annotation.get("segmentation"))
        for record in records
        for annotation in record["annotations"]
        if not annotation.get("iscrowd", 0)
    )
    return {name: kinds[kind] for kind, name in _KINDS.items()}


def check_has_masks(names: Sequence[str]) -> None:
    """Refuse data of boxes for a model with a mask head: a training and COCO's evaluation of masks
    fail on the first instance without one.

    Args:
        names: of data sets; those that are not the user's own are not looked at.

    Raises:
        InputError: an instance has no mask.
    """
    for name in names:
        counts = MetadataCatalog.get(name).get("mask_counts", {})
        if counts.get("none"):
            raise InputError(
                f"data set {name!r}: {counts['none']} of {sum(counts.values())} instances have no "
                "mask, but the model has a mask head: add segmentation to the file, or set "
                "MODEL.MASK_ON False (LazyConfig: a model without mask head, and use_instance_mask "
                "False in dataloader.train.mapper)"
            )


def check_mask_format(mapper: Callable[[dict], dict] | None, records: Sequence[dict]) -> None:
    """Refuse run-length encoded masks where Detectron2's mapper takes polygons.

    Args:
        mapper: of the training data; one that is not Detectron2's is not looked at.
        records: the training data.

    Raises:
        InputError: an instance has a mask of the other kind.
    """
    if not getattr(mapper, "use_instance_mask", False) or mapper.instance_mask_format != "polygon":
        return
    if count := count_masks(records)["run_lengths"]:
        raise InputError(
            f"{count} instances of the training data have run-length encoded masks, but "
            "INPUT.MASK_FORMAT is 'polygon': set INPUT.MASK_FORMAT bitmask (LazyConfig: "
            "dataloader.train.mapper.instance_mask_format=bitmask)"
        )
