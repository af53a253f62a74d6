"""Mask R-CNN of eql.detectron2, the official code of EQL (CVPR 2020).

It is Detectron2's of 2020: the names are those of today. Only the classifier differs, which has one
column for each class.
"""

from .architectures import depth_of_resnet, mask_rcnn
from .box_classifier import add_background_column, mask_rcnn_config
from .foreign_file import ForeignFile
from .recipe import Recipe

# Those of Detectron2's MSRA ResNets
_MSRA_INPUT = {
    "INPUT.FORMAT": "BGR",
    "MODEL.PIXEL_MEAN": [103.53, 116.28, 123.675],
    "MODEL.PIXEL_STD": [1.0, 1.0, 1.0],
    "MODEL.RESNETS.STRIDE_IN_1X1": True,
}


def eql_mask_rcnn(file: ForeignFile) -> Recipe:
    depth = depth_of_resnet(file.count("backbone.bottom_up.res4.{}.conv1.weight"))
    num_classes = file.rows("roi_heads.box_predictor.bbox_pred.weight") // 4
    mask_on = "roi_heads.mask_head.predictor.weight" in file.state
    recipe = Recipe(
        title=f"Mask R-CNN R-{depth} FPN of eql.detectron2 with {num_classes} classes",
        shapes=mask_rcnn(depth, num_classes, mask_on),
        dropped={
            r"^proposal_generator\.anchor_generator\.cell_anchors\.\d$": "anchors, which are "
            "computed here"
        },
    )
    loss = "EQL" if add_background_column(recipe, file, num_classes) else "SoftmaxCE"
    recipe.config_file, overrides = mask_rcnn_config(depth, num_classes, mask_on, loss)
    recipe.overrides = {**overrides, **_MSRA_INPUT}
    return recipe
