"""Exports of the programs in which people draw."""

from .scene import CLASSES, HEIGHT, WIDTH, Dialect, Thing, annotations, categories, images

_INFO = ("contributor", "date_created", "description", "url", "version", "year")


def datumaro(found: list[Thing], name="{:06}.PNG", **fields) -> dict:
    """Empty urls and licences; a box has no polygon."""
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": dict.fromkeys(_INFO, ""),
        "categories": categories(CLASSES, 1, supercategory=""),
        "images": images(name, 1, license=0, flickr_url="", coco_url="", date_captured=0),
        "annotations": annotations(
            found,
            1,
            lambda thing: {
                "segmentation": [thing.corners] if thing.index else [],
                "area": float(thing.area),
                "iscrowd": 0,
                **fields,
            },
            image=1,
            category=1,
        ),
    }


def cvat(found: list[Thing]) -> dict:
    """The same with attributes, and folders in the names."""
    attributes = {"occluded": False, "rotation": 0.0}
    return datumaro(found, "day 1/frame_{:06}.PNG", attributes=attributes)


def cvat_brush(found: list[Thing]) -> dict:
    """What the brush has painted is a crowd region; here it is one more, over nothing else."""
    content = cvat(found)
    painted = Thing(0, 0, (30, 2, 9, 9))
    content["annotations"].append(
        {**content["annotations"][0], "id": 99, "bbox": list(painted.box), "area": 81.0}
        | {"segmentation": painted.run_lengths, "iscrowd": 1}
    )
    return content


def label_studio(found: list[Thing]) -> dict:
    """All ids from 0, whole pixels; no supercategory."""
    return {
        "images": images("images/0a1b2c3d-{}.png", 0),
        "categories": categories(CLASSES, 0),
        "annotations": annotations(
            found,
            0,
            lambda thing: {
                "segmentation": [],
                "bbox": list(map(int, thing.box)),
                "ignore": 0,
                "iscrowd": 0,
                "area": int(thing.area),
            },
        ),
        "info": {"year": 2024, "version": "1.0", "contributor": "Label Studio"}
        | {"description": "", "url": "", "date_created": "2024-05-01 10:11:12.131415"},
    }


def label_studio_values(found: list[Thing]) -> dict:
    """With ``<Label value="cat" category="7"/>`` in the interface: ids as text. On Windows."""
    content = label_studio(found)
    for category in content["categories"]:
        category["id"] = str(7 + category["id"])
    for annotation in content["annotations"]:
        annotation["category_id"] = str(7 + annotation["category_id"])
    for image in content["images"]:
        image["file_name"] = image["file_name"].replace("/", "\\")
    return content


def labelme(found: list[Thing]) -> dict:
    """``labelme2coco.py`` of labelme: the background is a category, and a rectangle becomes a
    polygon of two points."""
    return {
        "info": dict.fromkeys(_INFO),
        "licenses": [{"url": None, "id": 0, "name": None}],
        "type": "instances",
        "images": images("JPEGImages/{}.png", 0, license=0, url=None, date_captured=None),
        "categories": categories(("_background_", *CLASSES), 0, supercategory=None),
        "annotations": annotations(
            found,
            0,
            lambda thing: {
                "segmentation": [
                    thing.corners if thing.index else thing.corners[:2] + thing.corners[4:6]
                ],
                "area": float(thing.area),
                "iscrowd": 0,
            },
            category=1,
        ),
    }


def via(found: list[Thing]) -> dict:
    """VGG Image Annotator 2: flat polygons, ids of images as text where annotations name them, and
    urls that are the name of the file."""
    content = {
        "info": dict.fromkeys(_INFO, "") | {"year": 2024},
        "images": images("{}.png", 0, license=1, date_captured=""),
        "annotations": annotations(
            found,
            0,
            lambda thing: {
                "image_id": str(thing.image),
                "segmentation": thing.corners,
                "area": thing.area,
                "iscrowd": 0,
            },
            category=1,
        ),
        "licenses": [{"id": 1, "name": "Unknown License", "url": ""}],
        "categories": categories(CLASSES, 1, supercategory="type"),
    }
    for image in content["images"]:
        image["flickr_url"] = image["coco_url"] = image["file_name"]
    return content


def coco_annotator(found: list[Thing]) -> dict:
    """Ids of a database, a flag that is a truth value, and much of its own."""
    ours = {"dataset_id": 3, "metadata": {}, "milliseconds": 0, "events": [], "creator": "admin"}
    return {
        "images": images(
            "{}.png", 120, path="/datasets/animals/0.png", category_ids=[], annotating=[], **ours
        ),
        "categories": categories(
            CLASSES, 17, supercategory="", color="#ab12cd", keypoint_colors=[], metadata={}
        ),
        "annotations": annotations(
            found[::-1],
            501,
            lambda thing: {
                "segmentation": [thing.corners],
                "area": int(thing.area),
                "iscrowd": False,
                "isbbox": True,
                "color": "#12ab34",
                "width": WIDTH,
                "height": HEIGHT,
                **ours,
            },
            image=120,
            category=17,
        ),
    }


def supervisely(found: list[Thing]) -> dict:
    """Large ids, "None" as text, each class its own supercategory, and run lengths as numbers."""
    date = "2024-05-01T10:11:12.131Z"
    content = {
        "info": dict.fromkeys(_INFO, "None") | {"year": 2024, "date_created": date},
        "licenses": [{"url": "None", "id": 0, "name": "None"}],
        "images": images("images/{}.png", 28431000, license="None", url="None", date_captured=date),
        "annotations": annotations(
            found,
            1,
            lambda thing: {"segmentation": thing.run_lengths, "area": thing.area, "iscrowd": 0},
            image=28431000,
            category=1,
        ),
        "categories": categories(CLASSES, 1),
    }
    for category in content["categories"]:
        category["supercategory"] = category["name"]
    return content


def darwin(found: list[Thing]) -> dict:
    """V7: hashes for ids, in no order, and urls of its site that end in no file."""
    hashes = (3041872711, 918273645, 2718281828, 1414213562, 57721566, 1618033988)
    url = "https://darwin.v7labs.com/api/v2/uploads/0a1b/original"
    content = {
        "info": dict.fromkeys(_INFO, "n/a") | {"year": 2024},
        "licenses": [{"url": "n/a", "id": 0, "name": "placeholder license"}],
        "images": images("{}.png", 0, license=0, coco_url=url, flickr_url=url, tag_ids=[]),
        "annotations": annotations(
            found,
            1,
            lambda thing: {
                "image_id": hashes[thing.image],
                "category_id": hashes[-1 - thing.index],
                "segmentation": [thing.corners],
                "area": thing.area,
                "iscrowd": 0,
                "extra": {},
            },
        ),
        "categories": categories(CLASSES, 0, supercategory="root"),
    }
    for image, value in zip(content["images"], hashes):
        image["id"] = value
    for category, value in zip(content["categories"], hashes[::-1]):
        category["id"] = value
    return content


_NO_POLYGONS = "less than 3 points"
DIALECTS = {
    "CVAT": Dialect(cvat),
    "CVAT, with the brush": Dialect(cvat_brush, shift=0),
    "Datumaro": Dialect(datumaro),
    "Label Studio": Dialect(label_studio, shift=0),
    "Label Studio, with ids, on Windows": Dialect(
        label_studio_values,
        shift=0,
        refused=("categories whose id is no integer", "category_id is no integer", "missing"),
    ),
    "labelme": Dialect(
        labelme, unseen=("_background_",), said=("without an annotation", _NO_POLYGONS)
    ),
    "VIA": Dialect(via, refused=("image_id is no integer", "not in a list of their own")),
    "COCO Annotator": Dialect(coco_annotator),
    "Supervisely": Dialect(supervisely, shift=0),
    "V7 Darwin": Dialect(darwin),
}
