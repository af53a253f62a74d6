"""COCO 2017: ``coco/annotations/instances_{train,val}2017.json`` and pictures."""

import json
from pathlib import Path

from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES

from .scenes import save, scenes

# Pictures of their own: those of LVIS lie in the same folders.
_IMAGES = {"train": (139, 285, 632, 724), "val": (776, 785)}


def make_coco(root: Path) -> None:
    """Write both splits, with all 80 categories."""
    folder = root / "coco/annotations"
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, ids) in enumerate(_IMAGES.items()):
        data = _annotate(root / f"coco/{split}2017", ids, 10 + seed)
        (folder / f"instances_{split}2017.json").write_text(json.dumps(data))


def coco_categories() -> list[dict]:
    """The 80 categories with the keys of the official files, which have no number of images."""
    return [{"id": c["id"], "name": c["name"]} for c in COCO_CATEGORIES if c["isthing"]]


def _annotate(folder: Path, ids: tuple[int, ...], seed: int) -> dict:
    categories = coco_categories()
    images, annotations = [], []
    for image_id, scene in zip(ids, scenes(seed, len(ids))):
        file_name = f"{image_id:012d}.jpg"
        save(scene.pixels, folder / file_name)
        width, height = scene.size
        images.append({"id": image_id, "width": width, "height": height, "file_name": file_name})
        for i, box in enumerate(scene.objects):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": categories[(image_id + i) % len(categories)]["id"],
                    "bbox": list(box),
                    "area": box.area,
                    "segmentation": [box.polygon],
                    "iscrowd": 0,
                }
            )
    return {"images": images, "annotations": annotations, "categories": categories}
