"""YOLOX-IP, the detector of the strongest published results of EFL and EQFL."""

import torch
import torch.nn.functional as F
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.structures import ImageList
from torch import Tensor

from ..improved_baseline import EQLImprovedBaseline, Positives
from .head import YOLOXHead


@META_ARCH_REGISTRY.register()
class EQLYOLOXIP(EQLImprovedBaseline):
    """The improved baseline of EFL on the network of YOLOX: "YOLOX-IP" in the official code.

    Assignment, losses and inference are those of the improved baseline, with an L1 loss of the
    deltas besides, from the first step on: the mean over the numbers of all positive anchors of
    this process, neither weighed by the IoU nor averaged over processes, as in the official code.
    The head is a :class:`YOLOXHead`; class and IoU begin with the prior.

    Images are padded with 0, to the right and below, to the square of the longer side, which is a
    multiple of 32: at test officially 640 x 640.

    The anchors of the official configs are two squares of 3 and 4 times the stride around the
    corner of each cell: offset 0 of the anchor generator. (Those of the improved baseline lie
    around its centre.)

    Args:
        **kwargs: arguments of :class:`EQLImprovedBaseline`; ``head`` is a :class:`YOLOXHead`.
    """

    @classmethod
    def from_config(cls, cfg):
        ret = super().from_config(cfg)
        shapes = ret["backbone"].output_shape()
        ret["head"] = YOLOXHead(cfg, [shapes[name] for name in ret["head_in_features"]])
        return ret

    def init_prior(self) -> None:
        for layer in (*self.head.cls_preds, *self.head.obj_preds):
            self.loss_cls.init_bias(layer.bias)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        side = max(super().padded_size(height, width))
        return side, side

    def preprocess_image(self, batched_inputs: list[dict[str, Tensor]]) -> ImageList:
        # As the base class, of which TorchScript has no super().
        inputs = [self._move_to_current_device(x["image"]) for x in batched_inputs]
        inputs = [(x - self.pixel_mean) / self.pixel_std for x in inputs]
        images = ImageList.from_tensors(inputs, self.backbone.size_divisibility)
        height, width = images.tensor.shape[-2:]
        # Sizes are tensors in tracing, where they must not become constants.
        if isinstance(height, Tensor):
            side = torch.maximum(height, width)
        else:
            side = max(height, width)
        padded = F.pad(images.tensor, (0, side - width, 0, side - height))
        return ImageList(padded, images.image_sizes)

    def delta_losses(self, found: Positives) -> dict[str, Tensor]:
        targets = self.box2box_transform.get_deltas(found.anchors, found.objects)
        distance = (found.deltas - targets).abs().sum()
        return {"loss_l1": distance / max(targets.numel(), 1)}
