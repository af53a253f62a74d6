"""Annotation files with one thing wrong, and what is said about it."""

import numpy as np
import pycocotools.mask as mask_util


def broken(key, index, **changes):
    """Change an entry of a list of the file; a value of `DELETE` removes the key."""

    def change(data):
        data[key][index].update(changes)
        for name, value in changes.items():
            if value is DELETE:
                data[key][index].pop(name)

    return change


DELETE = object()
NAN, INFINITY = float("nan"), float("inf")
SIZE = [64, 80]  # of the images of the tests, height and width


def rle(shape=(64, 80), compressed=True):
    """Run lengths of a mask with a square."""
    mask = np.zeros(shape, np.uint8, order="F")
    mask[2:7, 3:9] = 1
    encoded = mask_util.encode(mask)
    if compressed:
        return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
    changes = np.flatnonzero(np.diff(mask.reshape(-1, order="F"))) + 1
    counts = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return {"size": list(shape), "counts": counts.tolist()}


def polygon(value):
    return broken("annotations", 3, segmentation=[[1, 1, 9, 1, value, 9]])


def mask(**changes):
    return broken("annotations", 3, segmentation=rle() | changes)


def all_of(key, **changes):
    def change(data):
        for i in range(len(data[key])):
            broken(key, i, **changes)(data)

    return change


# change, kind of the finding
ERRORS = [
    (polygon(NAN), "polygons with nan or infinity"),
    (polygon(INFINITY), "polygons with nan or infinity"),
    (polygon(1e9), "polygons far outside"),
    (polygon(-1e300), "polygons far outside"),
    (polygon(10**400), "polygons that are no list of numbers"),
    (polygon("9"), "polygons that are no list of numbers"),
    (polygon(None), "polygons that are no list of numbers"),
    (polygon(True), "polygons that are no list of numbers"),
    (broken("annotations", 3, segmentation=[[1, 2, 3, 4]]), "less than 3 points"),
    (broken("annotations", 3, segmentation=[[]]), "less than 3 points"),
    (broken("annotations", 3, segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "odd count"),
    (broken("annotations", 3, segmentation=[1, 2, 3, 4, 5, 6]), "not in a list of their own"),
    (broken("annotations", 3, segmentation="masks"), "neither polygons nor run lengths"),
    (broken("annotations", 3, segmentation=7), "neither polygons nor run lengths"),
    (mask(size=[10**6, 10**6]), "of another size than their images"),
    (mask(size=[80, 64]), "of another size than their images"),
    (mask(size=[64.0, 80.0]), "of another size than their images"),
    (mask(size=None), "of another size than their images"),
    (mask(counts="abc"), "cannot be read"),
    (mask(counts="\x01\x02"), "cannot be read"),
    (mask(counts="é"), "cannot be read"),
    (mask(counts=None), "cannot be read"),
    (mask(counts=[10, -5, 5115]), "cannot be read"),
    (mask(counts=[10, 5]), "cannot be read"),
    (mask(counts=[10, 5110, NAN]), "cannot be read"),
    (all_of("annotations", bbox=[1, 1, 0, 5]), "boxes of zero area"),
    (broken("annotations", 3, bbox=[1, 1, 5, -5]), "boxes of negative size"),
    (broken("annotations", 3, bbox=[1, NAN, 5, 5]), "boxes with nan"),
    (broken("annotations", 3, bbox=[1, 1, 1e300, 1e300]), "boxes outside"),
    (broken("annotations", 3, bbox=[-9, 1, 5, 5]), "boxes outside"),
    (broken("annotations", 3, bbox=[70, 1, 30, 5]), "boxes outside"),
    (broken("annotations", 3, bbox=[1, 1, 5]), "not four numbers"),
    (broken("annotations", 3, bbox=None), "not four numbers"),
    (broken("annotations", 3, bbox=[1, 1, "5", 5]), "not four numbers"),
    (broken("annotations", 3, bbox=DELETE), "not four numbers"),
    (broken("annotations", 3, id="4"), "annotations whose id is no integer"),
    (broken("annotations", 3, id=4.5), "annotations whose id is no integer"),
    (broken("annotations", 3, id=10**30), "annotations whose id is no integer"),
    (broken("annotations", 3, id=[4]), "annotations whose id is no integer"),
    (broken("annotations", 3, id=DELETE), "annotations whose id is no integer"),
    (broken("annotations", 3, image_id=99), "annotations of unknown images"),
    (broken("annotations", 3, image_id="1"), "annotations whose image_id is no integer"),
    (broken("annotations", 3, category_id=7), "annotations of unknown categories"),
    (broken("annotations", 3, category_id=10.0), "annotations whose category_id is no integer"),
    (broken("annotations", 3, category_id={}), "annotations whose category_id is no integer"),
    (broken("annotations", 3, iscrowd=2), "iscrowd is neither 0 nor 1"),
    (broken("annotations", 3, iscrowd="0"), "iscrowd is neither 0 nor 1"),
    (broken("annotations", 3, area=NAN), "area is no number of pixels"),
    (broken("annotations", 3, area=-1), "area is no number of pixels"),
    (broken("annotations", 3, area="12"), "area is no number of pixels"),
    (broken("annotations", 3, keypoints=[1, 2]), "keypoints"),
    (broken("annotations", 3, keypoints=[1, NAN, 2]), "keypoints"),
    (broken("annotations", 3, keypoints=7), "keypoints"),
    (broken("images", 0, id="1"), "images whose id is no integer"),
    (broken("images", 0, id=2), "images with the same id"),
    (broken("images", 0, id=-3), "images with a negative id"),
    (broken("categories", 0, id=-3), "categories with a negative id"),
    (broken("images", 0, width=0), "images without a size"),
    (broken("images", 0, width=80.0), "images without a size"),
    (broken("images", 0, height="64"), "images without a size"),
    (broken("images", 0, height=DELETE), "images without a size"),
    (broken("images", 0, width=10**5, height=10**5), "images of too many pixels"),
    (broken("images", 0, file_name=DELETE), "images without a file name"),
    (broken("images", 0, file_name=7), "images without a file name"),
    (broken("images", 0, file_name="", coco_url="no path"), "images without a file name"),
    (broken("images", 0, file_name="../../../etc/passwd"), "paths that lead out"),
    (broken("images", 0, file_name="/etc/passwd"), "paths that lead out"),
    (broken("images", 0, file_name=DELETE, coco_url="http://x/../a"), "without a file name"),
    (broken("images", 0, neg_category_ids=DELETE), "images without neg_category_ids"),
    (broken("images", 0, neg_category_ids=None), "neg_category_ids are no list"),
    (broken("images", 0, neg_category_ids=["50"]), "neg_category_ids are no list"),
    (broken("images", 0, not_exhaustive_category_ids=DELETE), "images without not_exhaustive"),
    (broken("categories", 0, id="10"), "categories whose id is no integer"),
    (broken("categories", 0, id=20), "categories with the same id"),
    (broken("categories", 0, name="class1"), "categories with the same name"),
    (broken("categories", 0, name=["class0"]), "categories whose name is no text"),
    (lambda data: data.update(images=[]), "files without images"),
    (lambda data: data.update(categories=[]), "files without categories"),
    (lambda data: data.update(annotations=None), "files of another format"),
    (lambda data: data["images"].append(None), "entries of another format"),
    (lambda data: data["annotations"].append([1, 2]), "entries of another format"),
]

# What stays usable, and the kind of the warning if there is one
USABLE = [
    (mask(), None),
    (mask(counts=[5120]), None),
    (broken("annotations", 3, segmentation=rle(compressed=False)), None),
    (all_of("annotations", segmentation=None), None),
    (all_of("annotations", segmentation=[]), None),
    (broken("annotations", 3, segmentation=[[-30, -30, 110, -30, 20, 90]]), None),
    (all_of("annotations", area=DELETE), "annotations without area"),
    (broken("annotations", 3, area=None), "annotations without area"),
    (all_of("annotations", iscrowd=DELETE), None),  # LVIS has none
    (broken("images", 0, file_name="2.png"), "image files that are listed twice"),
    (broken("images", 0, neg_category_ids=[77]), "images with unknown neg_category_ids"),
    (broken("categories", 0, name=None), None),
    (broken("annotations", 3, id=1), "annotations with the same id"),
    (broken("annotations", 3, bbox=[1, 1, 0, 5]), "boxes of zero area"),
    *(
        (all_of("images", **{key: value}), None)
        for key in ("coco_url", "flickr_url", "date_captured", "license")
        for value in ("", "None", "n/a", "http://x/../a", 7, [], None)
    ),
    (lambda data: data["categories"].append({"id": 60, "name": "bear"}), "without an annotation"),
    (lambda data: data.update(annotations=[]), "categories without an annotation"),
]
