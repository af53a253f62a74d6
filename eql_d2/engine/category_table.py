"""What the gradient record says of each category."""

from collections.abc import Sequence

from detectron2.data import MetadataCatalog

from ..data import count_labels, frequency_groups, get_image_count, group_labels


def category_table(
    dataset_names: Sequence[str],
    frequency_thresholds: tuple[int, int] = (10, 100),
    sem_seg_groups: tuple[str, Sequence[float]] = ("pixels", ()),
) -> list[dict]:
    """Names, groups and counts of the categories of training data, by contiguous class index.

    Args:
        dataset_names: registered data sets, counted together.
        frequency_thresholds: see :func:`eql_d2.data.frequency_groups`.
        sem_seg_groups: for label maps instead of them, the rule and the thresholds of
            :func:`eql_d2.data.group_labels`.

    Returns:
        ``{"name", "group", "image_count", "instance_count"}`` of each class; the instance count is
        None where the metadata of a data set do not have it.
    """
    metadata = [MetadataCatalog.get(name) for name in dataset_names]
    if metadata[0].get("evaluator_type") == "sem_seg":
        frequency = count_labels(dataset_names)
        groups = group_labels(frequency, *sem_seg_groups).groups
        return _table(metadata[0].stuff_classes, groups, frequency.image_count)
    image_count = get_image_count(dataset_names)
    rows = [sorted(data.class_image_count, key=lambda row: row["id"]) for data in metadata]
    instance_count = [
        None if None in counts else sum(counts)
        for counts in zip(*([row.get("instance_count") for row in of_one] for of_one in rows))
    ]
    groups = frequency_groups(image_count, frequency_thresholds)
    return _table(metadata[0].thing_classes, groups, image_count, instance_count)


def _table(names, groups, image_count, instance_count=None) -> list[dict]:
    instance_count = [None] * len(names) if instance_count is None else instance_count
    return [
        {"name": name, "group": group, "image_count": int(images), "instance_count": instances}
        for name, group, images, instances in zip(
            names, groups, image_count, instance_count, strict=True
        )
    ]
