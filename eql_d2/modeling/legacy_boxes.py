"""Boxes of models that were trained with corners of whole pixels, for evaluation."""

import torch
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import Boxes, Instances

from ..exceptions import InputError
from .improved_baseline import EQLImprovedBaseline


@META_ARCH_REGISTRY.register()
class EQLImprovedBaselineLegacyBoxes(EQLImprovedBaseline):
    r"""The improved baseline with weights of the official code, to be evaluated only.

    There a box is the first and the last of its pixels, :math:`w = x_2 - x_1 + 1`, in continuous
    coordinates (:math:`X_1 = x_1`, :math:`X_2 = x_2 + 1`) :math:`w = X_2 - X_1`. Anchors (corners
    -20 and 27 for 48 pixels at stride 8, so -20 to 28), deltas and IoU are then those of
    Detectron2. Resizing is not: pixels are scaled by s as if they were points, so that objects
    end at :math:`s x_2 + 1 = s X_2 - (s - 1)`, and that is where the model has learned to see their
    ends. The official code finds the way back when it writes boxes,
    :math:`w = (x'_2 - x'_1) / s + 1`, which is

    .. math:: X_2 = X'_2 / s + (1 - 1 / s)

    This class adds the last term, 0.4 pixels for the usual 640 x 480 images at 800 pixels. What
    is left: boxes are clipped to the image, where the official ones may end up to 1 - 1 / s pixels
    outside of it; boxes beyond its border are left out, there they become one pixel; s is that of
    each side, rounded to whole pixels.

    Raises:
        InputError: in training, for which the boxes of the data would have to be moved as well.
    """

    def forward(self, batched_inputs):
        if self.training:
            raise InputError(
                "EQLImprovedBaselineLegacyBoxes is for evaluation: set MODEL.META_ARCHITECTURE to "
                "EQLImprovedBaseline to train on, which moves the ends of boxes by 1 - 1 / s pixels"
            )
        outputs = super().forward(batched_inputs)
        for image, output in zip(batched_inputs, outputs):
            output["instances"] = with_last_pixel(output["instances"], image["image"].shape[-2:])
        return outputs


def with_last_pixel(instances: Instances, resized_size: tuple[int, int]) -> Instances:
    """Boxes whose ends were scaled as points, with the pixel that they end with.

    Args:
        instances: with "pred_boxes" of the image in its own size, continuous, in pixels.
        resized_size: height and width of the image that the model has seen.

    Returns:
        Instances with :math:`1 - 1 / s` added to the ends, clipped; without those that are empty.
    """
    (height, width), boxes = instances.image_size, instances.pred_boxes.tensor
    shift = [0.0, 0.0, 1 - width / resized_size[1], 1 - height / resized_size[0]]
    moved = Boxes(boxes + torch.tensor(shift, dtype=boxes.dtype, device=boxes.device))
    moved.clip(instances.image_size)
    instances.pred_boxes = moved
    return instances[moved.nonempty()]
