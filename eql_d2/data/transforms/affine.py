"""Affine maps of an image and of what is annotated in it."""

import math

import numpy as np
from detectron2.data.transforms import Augmentation
from fvcore.transforms.transform import CropTransform, Transform
from PIL import Image

from .arguments import check_argument, is_range


class AffineTransform(Transform):
    """An affine map, cut to an output of a given size.

    Images are read bilinearly and masks at the nearest pixel, by Pillow, which takes the centre of
    a pixel for half a pixel from its corner. So pixels and coordinates go the same way. (OpenCV's
    ``warpAffine``, which the official code of YOLOX uses, takes the indices of pixels for their
    coordinates: there the boxes are (scale - 1) / 2 pixels beside the objects.)

    A box becomes the bounding box of its four corners, not cut to the output, as in fvcore;
    polygons are cut to the output, as by its ``CropTransform``, which needs shapely.

    Args:
        matrix: float (2, 3), from the coordinates of the input to those of the output.
        output_size: height and width of the output.
        pad_value: of the pixels of an image that lie outside the input.
        seg_pad_value: of those of a mask.
    """

    def __init__(
        self,
        matrix: np.ndarray,
        output_size: tuple[int, int],
        pad_value: float = 0,
        seg_pad_value: int = 0,
    ):
        super().__init__()
        self._set_attributes(locals())

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        return self._warp(img, Image.Resampling.BILINEAR, self.pad_value)

    def apply_segmentation(self, segmentation: np.ndarray) -> np.ndarray:
        return self._warp(segmentation, Image.Resampling.NEAREST, self.seg_pad_value)

    def apply_coords(self, coords: np.ndarray) -> np.ndarray:
        matrix = np.asarray(self.matrix)
        return coords @ matrix[:, :2].T + matrix[:, 2]

    def apply_polygons(self, polygons: list[np.ndarray]) -> list[np.ndarray]:
        height, width = self.output_size
        return CropTransform(0, 0, width, height).apply_polygons(super().apply_polygons(polygons))

    def covers(self, box: np.ndarray) -> bool:
        """Whether the output may show something of a region of the input.

        Args:
            box: float (4,), XYXY.
        """
        height, width = self.output_size
        output = np.array([(0, 0, width, height)], float)
        seen = AffineTransform(self._inverse(), self.output_size).apply_box(output)[0]
        seen += (-1, -1, 1, 1)  # a pixel is read with its neighbours
        return bool((box[:2] < seen[2:]).all() and (box[2:] > seen[:2]).all())

    def _inverse(self) -> np.ndarray:
        return np.linalg.inv(np.vstack([self.matrix, (0, 0, 1)]))[:2]

    def _warp(self, img: np.ndarray, resample: Image.Resampling, fill: float) -> np.ndarray:
        is_color = img.dtype == np.uint8 and img.ndim == 3 and img.shape[2] == 3
        if img.ndim == 3 and not is_color:
            channels = [self._warp(img[..., c], resample, fill) for c in range(img.shape[2])]
            return np.stack(channels, axis=-1)
        if img.dtype != np.uint8:  # Pillow's other types
            img, dtype = img.astype(np.float32 if img.dtype.kind == "f" else np.int32), img.dtype
            return self._warp_pillow(img, resample, fill).astype(dtype)
        return self._warp_pillow(img, resample, (int(fill),) * 3 if is_color else int(fill))

    def _warp_pillow(self, img: np.ndarray, resample: Image.Resampling, fill) -> np.ndarray:
        warped = Image.fromarray(img).transform(
            self.output_size[::-1],
            Image.Transform.AFFINE,
            tuple(self._inverse().ravel()),
            resample,
            fillcolor=fill,
        )
        return np.asarray(warped)


class RandomAffine(Augmentation):
    """Rotation, scale and shear about the centre of an image, which then goes near the centre of
    the output.

    The map of the official code of YOLOX and its defaults in the YOLOX recipe of EFL: rotation and
    scale first, then shear, then the centre of the image to 0.5 of the output, give or take
    ``translate``, in each direction.

    Args:
        degrees: rotation is drawn from plus or minus it.
        scale: smallest and largest factor.
        shear: of each axis; drawn from plus or minus it, in degrees.
        translate: of the centre, as share of the output.
        output_size: height and width; None for those of the image.
        pad_value, seg_pad_value: see :class:`AffineTransform`.

    Raises:
        InputError: a range is none, or the map could turn the image inside out.
    """

    def __init__(
        self,
        degrees: float = 10.0,
        scale: tuple[float, float] = (0.1, 2.0),
        shear: float = 2.0,
        translate: float = 0.1,
        output_size: tuple[int, int] | None = None,
        pad_value: float = 0,
        seg_pad_value: int = 0,
    ):
        super().__init__()
        name = "of RandomAffine (INPUT.MOSAIC.{})".format
        fix = "a number of degrees, 0 to 180"
        check_argument(f"degrees {name('DEGREES')}", degrees, lambda x: 0 <= x <= 180, fix)
        fix = "the smallest and the largest factor, above 0, for example (0.1, 2.0)"
        check_argument(f"scale {name('SCALE')}", scale, is_range, fix)
        fix = "a number of degrees, 0 or more and below 45"
        check_argument(f"shear {name('SHEAR')}", shear, lambda x: 0 <= x < 45, fix)
        fix = "a share of the output, 0 to 1"
        check_argument(f"translate {name('TRANSLATE')}", translate, lambda x: 0 <= x <= 1, fix)
        scale = tuple(scale)
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> AffineTransform:
        height, width = image.shape[:2]
        output_size = tuple(self.output_size or (height, width))
        angle = math.radians(self._rand_range(-self.degrees, self.degrees))
        scale = self._rand_range(*self.scale)
        shear_x, shear_y = np.tan(np.radians(self._rand_range(-self.shear, self.shear, 2)))
        center = 0.5 + self._rand_range(-self.translate, self.translate, 2)

        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        # Anticlockwise to the eye: y runs downwards
        turned = np.array([(cos, sin), (-sin, cos)])
        turned = np.array([(1, shear_x), (shear_y, 1)]) @ turned
        offset = center * output_size[::-1] - turned @ (width / 2, height / 2)
        matrix = np.column_stack([turned, offset])
        return AffineTransform(matrix, output_size, self.pad_value, self.seg_pad_value)
