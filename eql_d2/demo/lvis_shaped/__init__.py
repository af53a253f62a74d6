"""A world without images that has LVIS v1's long tail: the box head of a detector learns generated
features of RoIs, of as many classes, in as many images, as LVIS v1 has.

Importing it registers the training images as ``lvis_shaped_train``, in Detectron2's format but for
the files and boxes, which there are none of.
"""

from detectron2.data import DatasetCatalog, MetadataCatalog

from .world import LVIS_CLASSES, World, WorldSettings

NAME = "lvis_shaped"
TRAIN = f"{NAME}_train"

if TRAIN not in DatasetCatalog:
    DatasetCatalog.register(TRAIN, lambda: World(WorldSettings()).records())
    MetadataCatalog.get(TRAIN).thing_classes = [f"class {i}" for i in range(LVIS_CLASSES)]
