"""The rules for the images of a file in COCO or LVIS format."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...messages import shown
from .findings import Findings
from .flat import are_integers, is_integer
from .limits import Limits, check_paths, leads_outside

# LVIS: categories that were looked for in an image and are not there; and those of which not all
# instances are annotated
FEDERATED_LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
# Of Open Images: categories verified to be present
VERIFIED_LIST = "pos_category_ids"


def is_federated(images: Sequence[dict]) -> bool:
    """Whether the images are those of LVIS format, in which not all categories are annotated in
    all images."""
    return any("not_exhaustive_category_ids" in image for image in images) or (
        any("neg_category_ids" in image for image in images)
        and not any(VERIFIED_LIST in image for image in images)
    )


def file_names(image: dict) -> list[str]:
    """Paths under the image folder, in the order in which they are looked for: ``file_name``, and
    the end of ``coco_url`` with or without its folder. LVIS v0.5 has both, and its file names are
    those of 2014."""
    names = [image["file_name"]] if image.get("file_name") else []
    if usable_url(image):
        folder, file_name = _end_of_url(image["coco_url"])
        names += [os.path.join(folder, file_name), file_name]
    return names


def usable_url(image: dict) -> bool:
    """Whether the image has a ``coco_url`` that ends in folder/name; CVAT writes empty ones."""
    url = image.get("coco_url")
    if not isinstance(url, str):
        return False
    end = _end_of_url(url)
    return len(end) == 2 and end[1] != "" and ".." not in end


def _end_of_url(url: str) -> list[str]:
    return url.split("?")[0].split("/")[-2:]


def find_file(image: dict, image_root: str) -> str:
    """The first path of an image that leads to a file; where none does, that of its name."""
    paths = [os.path.join(image_root, name) for name in file_names(image)]
    named = paths[0 if image.get("file_name") else -1]
    return next((path for path in paths if os.path.isfile(path)), named)


def check_images(
    findings: Findings, where: str, images: list[dict], image_root: str, limits: Limits
) -> None:
    """Check what the file says of each image, not the image files.

    Args:
        findings: what is wrong is added to it.
        where: the annotation file, for messages.
        images: entries of the file.
        image_root: folder of the images.
        limits: of the images.
    """
    if not images:
        findings.error("files without images", "list them", [f"{where} has no images"])
    sizes = [(image.get("width"), image.get("height")) for image in images]

    def says(i: int) -> str:
        width, height = map(shown, sizes[i])
        return f"image {shown(images[i].get('id'))} has width x height {width} x {height}"

    known = [has_size(image) for image in images]
    findings.error(
        "images without a size in pixels",
        "give each its integer width and height (validate --write reads them from the files)",
        [i for i, is_known in enumerate(known) if not is_known],
        says,
    )
    findings.error(
        "images of too many pixels",
        "make them smaller, or raise INPUT.MAX_IMAGE_PIXELS (validate: --max-image-pixels)",
        [
            i
            for i, size in enumerate(sizes)
            if known[i] and size[0] * size[1] > limits.max_image_pixels
        ],
        lambda i: says(i) + f" pixels, more than {limits.max_image_pixels:,}",
    )
    findings.error(
        "images without a file name",
        "give each a file_name, or a coco_url that ends in folder/name",
        [image for image in images if not _has_file_name(image)],
        lambda image: (
            f"image {shown(image.get('id'))} has file_name {shown(image.get('file_name'))}"
            + (f", coco_url {shown(image['coco_url'])}" if "coco_url" in image else "")
        ),
    )
    named = [image for image in images if _has_file_name(image)]
    names = Counter(name for image in named if (name := image.get("file_name")))
    findings.warning(
        "image files that are listed twice",
        "list each once, unless that is meant",
        [name for name, count in names.items() if count > 1],
        lambda name: f"{shown(name)} is the file of {names[name]} images",
    )
    paths = list(names)  # those of a coco_url cannot lead out
    check_paths(findings, image_root, paths, "an image", limits)


def usable_images(images: list[dict], image_root: str, limits: Limits) -> list[dict]:
    """The images that have a size and whose paths may be opened, in a file with errors."""
    return [
        image
        for image in images
        if _has_file_name(image)
        and has_size(image)
        and (
            limits.allow_outside_paths
            or not any(leads_outside(image_root, name) for name in file_names(image))
        )
    ]


def has_size(image: dict) -> bool:
    """Whether the image has integers above 0 for its width and height."""
    return all(is_integer(image.get(k)) and image[k] > 0 for k in ("width", "height"))


def _has_file_name(image: dict) -> bool:
    name = image.get("file_name")
    if name is None or name == "":
        return usable_url(image)
    return isinstance(name, str)


def check_category_lists(findings: Findings, images: list[dict], category_ids: set[int]) -> None:
    """Check the lists of category ids that images of LVIS and Open Images have."""
    federated = is_federated(images)
    for key in (*FEDERATED_LISTS, VERIFIED_LIST):
        having = [image for image in images if key in image]
        findings.error(
            f"images whose {key} are no list of integers",
            f"list category ids (validate --write makes [] of null, as Detectron2 does): {key} []",
            [image for image in having if not _is_list_of_ids(image[key])],
            lambda image, key=key: f"image {shown(image.get('id'))} has {key} {shown(image[key])}",
        )
        if federated and key in FEDERATED_LISTS:
            findings.error(
                f"images without {key}",
                "in LVIS format each image has both lists, in COCO format none has one (validate "
                "--write adds empty ones, as Detectron2 does)",
                [image for image in images if key not in image],
                lambda image, key=key: (
                    f"image {shown(image.get('id'))} has no {key}, which other images have"
                ),
            )
        unknown = [
            image
            for image in having
            if _is_list_of_ids(image[key]) and not category_ids.issuperset(image[key])
        ]
        # LVIS's evaluation passes over them, that of Open Images cannot.
        (findings.warning if federated else findings.error)(
            f"images with unknown {key}",
            "add the categories or remove their ids",
            unknown,
            lambda image, key=key: (
                f"image {shown(image.get('id'))} has in {key} "
                f"{min(set(image[key]) - category_ids)}, which is not among the categories"
            ),
        )


def _is_list_of_ids(value: Any) -> bool:
    return type(value) is list and are_integers(value)
