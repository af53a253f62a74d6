"""LVIS v1 and v0.5: ``lvis/lvis_<version>_{train,val}.json``, pictures in ``coco/``."""

import json
from collections.abc import Iterator
from pathlib import Path

from detectron2.data.datasets.lvis_v0_5_categories import LVIS_CATEGORIES as CATEGORIES_V0_5
from detectron2.data.datasets.lvis_v1_categories import LVIS_CATEGORIES as CATEGORIES_V1
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT

from .scenes import save, scenes

# Splits of COCO 2017 by the ids of their pictures. Validation data of v1 are of both.
_IMAGES = {
    ("v1", "train"): {"train2017": (391895, 522418, 184613, 318219)},
    ("v1", "val"): {"val2017": (397133, 37777), "train2017": (554625,)},
    ("v0.5", "train"): {"train2017": (574769, 60623, 309022, 5802)},
    ("v0.5", "val"): {"val2017": (252219, 87038)},
}
# Numbers of training images as large as the letter says. Detectron2 has those of v1 only.
_IMAGE_COUNT_V0_5 = {"r": 5, "c": 50, "f": 500}
_COCO = "http://images.cocodataset.org"


def make_lvis(root: Path) -> None:
    """Write both versions, with the whole list of categories."""
    (root / "lvis").mkdir(parents=True, exist_ok=True)
    for seed, ((version, split), images) in enumerate(_IMAGES.items()):
        data = _annotate(root, version, images, seed)
        (root / f"lvis/lvis_{version}_{split}.json").write_text(json.dumps(data))


def lvis_categories(version: str) -> list[dict]:
    """All 1,203 (v1) or 1,230 (v0.5) categories with the keys of the official files."""
    if version == "v1":
        counts = {c["id"]: c["image_count"] for c in LVIS_CATEGORY_IMAGE_COUNT}
        categories = [c | {"image_count": counts[c["id"]]} for c in CATEGORIES_V1]
    else:
        categories = [
            c | {"image_count": _IMAGE_COUNT_V0_5[c["frequency"]]} for c in CATEGORIES_V0_5
        ]
    return [c | {"instance_count": 2 * c["image_count"]} for c in categories]


def _annotate(root: Path, version: str, images: dict[str, tuple[int, ...]], seed: int) -> dict:
    categories = lvis_categories(version)
    data = {
        "info": {"description": f"LVIS {version}, a miniature", "version": version},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "categories": categories,
        "images": [],
        "annotations": [],
    }
    paths = [(folder, image_id) for folder, ids in images.items() for image_id in ids]
    for (folder, image_id), scene, classes in zip(
        paths, scenes(seed, len(paths)), _classes(categories)
    ):
        file_name = f"{image_id:012d}.jpg"
        save(scene.pixels, root / "coco" / folder / file_name)
        image = {
            "id": image_id,
            "width": scene.size[0],
            "height": scene.size[1],
            "license": 1,
            "coco_url": f"{_COCO}/{folder}/{file_name}",
            "flickr_url": f"http://farm1.staticflickr.com/1/{image_id}_z.jpg",
            "date_captured": "2013-11-14 11:18:45",
            "neg_category_ids": classes[-2:],
            "not_exhaustive_category_ids": classes[2:3],
        }
        if version == "v0.5":  # v1 has none
            image["file_name"] = f"COCO_{folder.replace('2017', '2014')}_{file_name}"
        data["images"].append(image)
        for box, category_id in zip(scene.objects, classes):
            data["annotations"].append(
                {
                    "id": len(data["annotations"]) + 1,
                    "image_id": image_id,
                    "category_id": category_id,
                    "bbox": list(box),
                    "area": box.area,
                    "segmentation": [box.polygon],
                }
            )
    return data


def _classes(categories: list[dict]) -> Iterator[list[int]]:
    """For each image the ids of the four classes in it, of all groups, and of two that are not."""
    ids = {key: [c["id"] for c in categories if c["frequency"] == key] for key in "rcf"}
    for i in range(len(ids["r"])):
        yield [ids["f"][0], ids["c"][i], ids["r"][i], ids["f"][i + 1], ids["c"][-1], ids["r"][-1]]
