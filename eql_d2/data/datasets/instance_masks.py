"""Label maps for segmentation from the instance masks of a COCO- or LVIS-format file.

    python -m eql_d2.data.datasets.instance_masks JSON IMAGES OUTPUT_DIR

writes ``OUTPUT_DIR/images/`` (links to the images), ``OUTPUT_DIR/masks/`` and
``OUTPUT_DIR/classes.txt``, the three arguments of ``--mask-folder`` and
:func:`register_mask_folder`. Larger instances are painted first, so that small ones in front of
them stay in sight. Pixels without an instance are ignored (255): that nothing is annotated there
does not say what is there.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
import pycocotools.mask as mask_util
from detectron2.structures.masks import polygons_to_bitmask
from PIL import Image
from tqdm import tqdm

from ...exceptions import InputError
from ..validation.limits import Limits
from .json_instances import read_json_instances
from .mask_folders import IGNORE_LABEL


def write_label_maps(
    json_file: str, image_root: str, output_dir: str | os.PathLike, limits: Limits = Limits()
) -> int:
    """Write the label maps of all images with an instance.

    Args:
        json_file: annotations with polygons or run-length encoded masks.
        image_root: folder of the images.
        output_dir: new folder; it appears complete or not at all.
        limits: of the images; they are linked to, not copied.

    Returns:
        The number of images.

    Raises:
        InputError: the folder exists; the file is not usable, has more than 255 categories, an
            instance without a mask, an image outside of the folder, or two of the same name.
    """
    output_dir = Path(output_dir)
    if output_dir.exists():
        raise InputError(f"{str(output_dir)!r} exists: name a new folder")
    name = os.path.basename(json_file)
    classes, records = read_json_instances(name, json_file, image_root, limits)
    if len(classes) > IGNORE_LABEL:
        raise InputError(
            f"{json_file!r} has {len(classes)} categories: a label map has room for {IGNORE_LABEL}"
        )
    records = [record for record in records if record["annotations"]]
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".masks-", dir=output_dir.parent) as scratch:
        folder = Path(scratch) / "new"
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        for record in tqdm(records, desc="label maps"):
            image = Path(record["file_name"])
            mask = folder / "masks" / f"{image.stem}.png"
            if mask.exists():
                raise InputError(f"two images are named {image.stem!r}: rename one")
            (folder / "images" / image.name).symlink_to(image.resolve())
            Image.fromarray(paint(record)).save(mask)
        (folder / "classes.txt").write_text("\n".join(classes) + "\n", encoding="utf-8")
        folder.rename(output_dir)
    return len(records)


def paint(record: dict) -> np.ndarray:
    """Label map uint8 (H, W) of a record in Detectron2's standard format.

    Raises:
        InputError: an instance has no mask.
    """
    height, width = record["height"], record["width"]
    masks = []
    for annotation in record["annotations"]:
        segmentation = annotation.get("segmentation")
        if not segmentation:
            raise InputError(
                f"an instance of image {record['file_name']!r} has no mask: label maps need "
                "polygons or run-length encoded masks"
            )
        if isinstance(segmentation, list):
            mask = polygons_to_bitmask(segmentation, height, width)
        else:
            mask = mask_util.decode(segmentation).astype(bool)
        masks.append((mask.sum(), annotation["category_id"], mask))
    labels = np.full((height, width), IGNORE_LABEL, np.uint8)
    for _, category, mask in sorted(masks, key=lambda entry: -entry[0]):
        labels[mask] = category
    return labels


def main() -> None:
    parser = argparse.ArgumentParser(description="Paint instance masks to label maps.")
    parser.add_argument("json_file", metavar="JSON")
    parser.add_argument("image_root", metavar="IMAGES")
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", type=Path)
    parser.add_argument(
        "--allow-outside-paths",
        action="store_true",
        help="link to images outside of IMAGES, too, where the file names them",
    )
    args = parser.parse_args()
    limits = Limits(allow_outside_paths=args.allow_outside_paths)
    try:
        count = write_label_maps(args.json_file, args.image_root, args.output_dir, limits)
    except InputError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{count} label maps written to {args.output_dir}")


if __name__ == "__main__":
    main()
