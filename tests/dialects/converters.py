"""What programs write that turn other formats into COCO's, and hosts of data sets."""

from .scene import CLASSES, Dialect, Thing, annotations, categories, images

_UNSEEN = "categories without an annotation"


def roboflow(found: list[Thing], root="animals-ab12c") -> dict:
    """All ids from 0, and a category 0 that is the project."""
    license_url = "https://creativecommons.org/licenses/by/4.0/"
    date = "2024-05-01T10:11:12+00:00"
    extra = {"name": "IMG_1.png"}
    return {
        "info": {"year": "2024", "version": "3", "contributor": "", "date_created": date}
        | {"description": "Exported from roboflow.com", "url": "https://public.roboflow.com/1"},
        "licenses": [{"id": 1, "url": license_url, "name": "CC BY 4.0"}],
        "categories": [
            {"id": 0, "name": root, "supercategory": "none"},
            *categories(CLASSES, 1, supercategory=root),
        ],
        "images": images(
            "IMG_{}_png.rf.0a1b2c3d.png", 0, license=1, date_captured=date, extra=extra
        ),
        "annotations": annotations(
            found,
            0,
            lambda thing: {"area": thing.area, "segmentation": [], "iscrowd": 0},
            category=1,
        ),
    }


def roboflow_shared_name(found: list[Thing]) -> dict:
    """The project has the name of a class."""
    return roboflow(found, root="dog")


def supervision(found: list[Thing]) -> dict:
    """Roboflow's library, the versions that write flat polygons."""
    return {
        "info": {},
        "licenses": [{"id": 1, "url": "", "name": "CC BY 4.0"}],
        "categories": categories(CLASSES, 0, supercategory="common-objects"),
        "images": images("{}.png", 0, license=1, date_captured="05/01/2024,10:11:12"),
        "annotations": annotations(
            found,
            0,
            lambda thing: {"area": thing.area, "segmentation": thing.corners, "iscrowd": 0},
        ),
    }


def globox(found: list[Thing]) -> dict:
    """The least: no areas, no polygons."""
    return {
        "images": images("{}.png", 0),
        "annotations": annotations(found, 0, lambda thing: {"iscrowd": 0, "ignore": 0}),
        "categories": categories(CLASSES, 0, supercategory="none"),
    }


def fiftyone(found: list[Thing]) -> dict:
    """No flag of crowds, no polygons, urls that are null, and attributes among the fields."""
    return {
        "info": {"year": "", "version": "", "description": "Exported from FiftyOne"}
        | {"contributor": "", "url": "https://voxel51.com/fiftyone", "date_created": "2024-05-01"},
        "licenses": [],
        "categories": categories(CLASSES, 0, supercategory=None),
        "images": images("{}.png", 1, license=None, coco_url=None),
        "annotations": annotations(
            found,
            1,
            lambda thing: {"area": thing.area, "occluded": None, "tags": []},
            image=1,
        ),
    }


def labelme2coco(found: list[Thing]) -> dict:
    """By the package sahi: classes as they come first, each its own supercategory."""
    content = {
        "images": images("shots/{}.png", 1),
        "annotations": annotations(
            found,
            1,
            lambda thing: {
                "iscrowd": 0,
                "segmentation": [thing.corners],
                "area": int(thing.area),
                "category_id": len(CLASSES) - 1 - thing.index,
            },
            image=1,
        ),
        "categories": categories(CLASSES[::-1], 0),
    }
    for category in content["categories"]:
        category["supercategory"] = category["name"]
    return content


def mmdetection(found: list[Thing]) -> dict:
    """Of Pascal VOC: whole pixels, all its classes whether they occur or not, and difficult objects
    as crowd regions; here one of a class of its own."""
    content = {
        "images": images("VOC2007/JPEGImages/{:06}.png", 0),
        "type": "instance",
        "categories": categories((*CLASSES, "sheep", "sofa"), 0, supercategory="none"),
        "annotations": annotations(
            found,
            0,
            lambda thing: {
                "segmentation": [thing.corners],
                "area": int(thing.area),
                "ignore": 0,
                "iscrowd": 0,
                "bbox": list(map(int, thing.box)),
            },
        ),
    }
    difficult = {"id": len(found), "image_id": 0, "category_id": 4, "bbox": [30, 2, 9, 9]}
    content["annotations"].append({**content["annotations"][0], **difficult, "iscrowd": 1})
    return content


def detectron2(found: list[Thing]) -> dict:
    """``convert_to_coco_json`` of a registered data set: rounded boxes, null licences."""
    return {
        "info": {"date_created": "2024-05-01 10:11:12.131415"}
        | {"description": "Automatically generated COCO json file for Detectron2."},
        "images": images("{}.png", 0),
        "categories": categories(CLASSES, 0),
        "licenses": None,
        "annotations": annotations(found, 1, lambda thing: {"area": thing.area, "iscrowd": 0}),
    }


DIALECTS = {
    "Roboflow": Dialect(roboflow, said=("root categories",)),
    "Roboflow, the name of a class": Dialect(roboflow_shared_name, said=("root categories",)),
    "supervision": Dialect(supervision, refused=("not in a list of their own",)),
    "globox": Dialect(globox, said=("without area",)),
    "FiftyOne": Dialect(fiftyone, said=("without iscrowd",)),
    "labelme2coco": Dialect(labelme2coco),
    "MMDetection": Dialect(
        mmdetection, shift=0, unseen=("sheep", "sofa"), said=(_UNSEEN, "only crowd regions")
    ),
    "Detectron2": Dialect(detectron2),
}
