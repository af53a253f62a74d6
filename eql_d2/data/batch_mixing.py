"""mixup and CutMix of image classification, as transforms of a batch."""

from collections.abc import Callable

from torch import Tensor
from torchvision.transforms import v2

from ..exceptions import InputError


def build_batch_mixing(
    mixup_alpha: float, cutmix_alpha: float, num_classes: int
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """mixup (arXiv 1710.09412), CutMix (arXiv 1905.04899), or for each batch one of the two, both
    alike likely, as in torchvision's reference training of classification.

    Each image is mixed with the one before it in the batch, all by one share, which is drawn from
    Beta(alpha, alpha) with PyTorch's global generator of the CPU.

    Args:
        mixup_alpha: of mixup; 0 for none.
        cutmix_alpha: of CutMix; 0 for none.
        num_classes: number C of classes.

    Returns:
        Images (N, 3, H, W) and labels int64 (N,) to images and soft labels float32 (N, C); None if
        both are 0.

    Raises:
        InputError: an alpha is negative or infinite.
    """
    mixings = []
    for key, alpha, mixing in (
        ("MIXUP", mixup_alpha, v2.MixUp),
        ("CUTMIX", cutmix_alpha, v2.CutMix),
    ):
        if not 0 <= alpha < float("inf"):
            raise InputError(
                f"INPUT.CLASSIFICATION.{key} is {alpha}: give the alpha of a Beta distribution, "
                "for example 0.2, or 0 for none"
            )
        if alpha > 0:
            mixings.append(mixing(alpha=alpha, num_classes=num_classes))
    if len(mixings) > 1:
        return v2.RandomChoice(mixings)
    return mixings[0] if mixings else None
