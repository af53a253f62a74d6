"""Mosaic, affine map and mixup: five images of the training data in one."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from detectron2.data.transforms import CropTransform, PadTransform, ResizeTransform

from ..transforms import AffineTransform, RandomAffine
from ..transforms.arguments import check_argument, is_range
from .boxes import have_area, survive
from .layer import Layer

# Sides that a box must exceed, in pixels: after the affine map, and in the image that is mixed in
_MIN_SIDE, _MIN_SIDE_OF_OVERLAY = 2, 5


class Mixture(NamedTuple):
    """What a mixed image is made of, before a pixel is read.

    Attributes:
        tiles: four images, each with the transforms resizing, crop, padding and affine map.
        affine: the last of them, the same for all.
        overlay: the image that is mixed in; None for none.
    """

    tiles: tuple[Layer, ...]
    affine: AffineTransform
    overlay: Layer | None

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All that have objects in the mixed image."""
        return self.tiles if self.overlay is None else (*self.tiles, self.overlay)

    def read(self, read_image: Callable[[dict], np.ndarray]) -> np.ndarray:
        """The mixed image.

        Args:
            read_image: gives the image of a record, uint8 (H, W, 3); it is not called for tiles of
                which nothing is to be seen.

        Returns:
            uint8 (size, size, 3).
        """
        height, width = self.affine.output_size
        canvas = np.zeros((2 * height, 2 * width, 3), np.uint8)
        for tile in self.tiles:
            resize, crop, pad, _ = tile.transforms
            box = np.array([pad.x0, pad.y0, pad.x0 + crop.w, pad.y0 + crop.h])
            if self.affine.covers(box):
                shown = crop.apply_image(resize.apply_image(read_image(tile.record)))
                canvas[box[1] : box[3], box[0] : box[2]] = shown
        image = self.affine.apply_image(canvas)
        if self.overlay is None:
            return image
        # Half of each, rounded down as in the official code
        other = self.overlay.apply_image(read_image(self.overlay.record))
        return ((image.astype(np.uint16) + other) // 2).astype(np.uint8)


class MosaicMixup:
    """Draws how five images become one, as the YOLOX recipe of EFL does.

    Four images, each scaled to fit a square, meet at a point near the centre of a canvas of twice
    its side; a :class:`RandomAffine` maps the canvas to the square. A fifth is scaled to fit the
    square, then by a random factor, cut or padded to it at random, and averaged with the mosaic if
    enough is left of one of its objects. It is not flipped: the official code tests for a number
    above 1 that is drawn below it. What the images leave free is black.

    Boxes that :func:`survive` refuses are dropped, after the affine map and after the last cut.

    Differences to the official code: sides are rounded to whole pixels, not cut off; the fifth
    image is resized once, not twice; boxes that the edge of the canvas has cut to a line are
    dropped, which the official code can keep where the map turns them; the area of a box before the
    map is taken after scale and shear, not scale alone (0.1 %); and see :class:`AffineTransform`.

    Args:
        size: of the square, in pixels.
        degrees, scale, shear, translate: see :class:`RandomAffine`.
        mixup_prob: probability that there is a fifth image.
        mixup_scale: smallest and largest factor of the fifth image.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        size: int = 640,
        degrees: float = 10.0,
        scale: tuple[float, float] = (0.1, 2.0),
        shear: float = 2.0,
        translate: float = 0.1,
        mixup_prob: float = 1.0,
        mixup_scale: tuple[float, float] = (0.8, 1.6),
    ):
        name = "of MosaicMixup (INPUT.MOSAIC.{})".format
        fix = "a whole number of pixels, 2 or more, for example 640"
        check_argument(f"size {name('SIZE')}", size, lambda x: x >= 2 and x == int(x), fix)
        fix = "a probability, 0 to 1"
        check_argument(f"mixup_prob {name('MIXUP_PROB')}", mixup_prob, lambda x: 0 <= x <= 1, fix)
        fix = "the smallest and the largest factor, above 0, for example (0.8, 1.6)"
        check_argument(f"mixup_scale {name('MIXUP_SCALE')}", mixup_scale, is_range, fix)
        size = int(size)
        self.size, self.mixup_prob, self.mixup_scale = size, mixup_prob, tuple(mixup_scale)
        self.affine = RandomAffine(degrees, scale, shear, translate, (size, size))

    def draw(self, record: dict, draw_partner: Callable[[], dict]) -> Mixture:
        """Draw a mixed image, with NumPy's global random numbers.

        Args:
            record: of the image that it is the turn of, in Detectron2's standard format.
            draw_partner: gives the record of another image at each call.
        """
        center = np.random.uniform(self.size // 2, 2 * self.size - self.size // 2, 2).astype(int)
        tiles = tuple(Layer(r) for r in (record, *(draw_partner() for _ in range(3))))
        affine = self.affine.get_transform(black_image(2 * self.size, 2 * self.size))
        for i, tile in enumerate(tiles):
            self._place(tile, center, is_right=i % 2 == 1, is_low=i > 1)
            _map(tile, affine)
        overlay = None
        if np.random.uniform() < self.mixup_prob:
            overlay = self._draw_overlay(Layer(draw_partner()))
        return Mixture(tiles, affine, overlay)

    def _place(self, tile: Layer, center: np.ndarray, is_right: bool, is_low: bool) -> None:
        """Put an image on the canvas, with a corner at the centre."""
        side = 2 * self.size
        _fit(tile, self.size)
        y0, height, top = _span(tile.size[0], center[1], side, is_low)
        x0, width, left = _span(tile.size[1], center[0], side, is_right)
        tile.add(CropTransform(x0, y0, width, height), (height, width))
        right, bottom = side - left - width, side - top - height
        tile.add(PadTransform(left, top, right, bottom), (side, side))
        tile.keep(have_area(tile.boxes))

    def _draw_overlay(self, layer: Layer) -> Layer | None:
        """The fifth image; None where no object survives."""
        factor = np.random.uniform(*self.mixup_scale)
        side = max(1, int(self.size * factor))
        _fit(layer, side)
        before, (height, width) = layer.boxes, layer.size
        padded = max(side, self.size)
        layer.add(PadTransform(0, 0, padded - width, padded - height), (padded, padded))
        x0, y0 = np.random.randint(max(padded - self.size, 1), size=2)
        layer.add(CropTransform(x0, y0, self.size, self.size), (self.size, self.size))
        which = survive(before, layer.boxes, _MIN_SIDE_OF_OVERLAY)
        layer.keep(which)
        return layer if which.any() else None


def black_image(height: int, width: int) -> np.ndarray:
    """uint8 (H, W, 3) that takes up no memory and cannot be written to."""
    return np.broadcast_to(np.uint8(0), (height, width, 3))


def _fit(layer: Layer, side: int) -> None:
    """Scale an image so that it fits a square."""
    height, width = layer.size
    scale = min(side / height, side / width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    layer.add(ResizeTransform(height, width, *size), size)


def _span(length: int, center: int, side: int, is_after: bool) -> tuple[int, int, int]:
    """Part of a tile that is on the canvas, in one direction: its start and length, and its start
    on the canvas."""
    shown = min(length, side - center if is_after else center)
    return (0, shown, center) if is_after else (length - shown, shown, center - shown)


def _map(tile: Layer, affine: AffineTransform) -> None:
    area_root = np.sqrt(abs(np.linalg.det(affine.matrix[:, :2])))
    before = tile.boxes * area_root
    tile.add(affine, affine.output_size)
    tile.keep(survive(before, tile.boxes, _MIN_SIDE))
