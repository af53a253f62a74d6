"""RoIs of images: sampled ones to train with, detected ones to test with."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from .world import World


@dataclasses.dataclass(frozen=True)
class RoIs:
    """RoIs of some images.

    Attributes:
        features: float32 (R, D).
        labels: int64 (R,), C for background.
    """

    features: np.ndarray
    labels: np.ndarray


class RoISampler:
    """Samples RoIs of training images as Detectron2's ROIHeads do.

    Args:
        world: with its images.
        per_image: RoIs of an image.
        foreground: largest share of them that shows an object.
        seed: of what is sampled.
    """

    def __init__(self, world: World, per_image: int, foreground: float, seed: int):
        self._world, self._per_image = world, per_image
        self._most = int(per_image * foreground)
        self._rng = np.random.default_rng([world.settings.seed, 1, seed])

    def __call__(self, images: Sequence[int]) -> RoIs:
        world, rng = self._world, self._rng
        settings, size = world.settings, self._per_image
        pair, foreground = [], []
        for image in images:
            pairs = np.arange(world.start[image], world.start[image + 1])
            if not len(pairs):
                continue
            shown = rng.permutation(np.repeat(pairs, settings.rois_per_class))[: self._most]
            pair += [shown, rng.choice(pairs, size - len(shown))]
            foreground += [np.arange(size) < len(shown)]
        pair, foreground = np.concatenate(pair), np.concatenate(foreground)
        overlap = overlaps(world, foreground, rng)
        labels = np.where(foreground, world.category[pair], settings.num_classes)
        return RoIs(world.appearance.features(world.looks[pair], overlap, rng), labels)


class TestImages:
    """Images that no training has seen: each class has its share of them, beside the classes that
    a training image shows.

    As in LVIS a class is evaluated on its images and on some that are known to be without it.

    Args:
        world: of the training images.
        per_class: images that are there for each class.
        background: RoIs without an object of each image.
        negatives: images without it on which a class is evaluated.

    Attributes:
        evaluated: bool (images, C), whether a class is evaluated on an image.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, world: World, per_class: int, background: int, negatives: int):
        self._world, self._background = world, background
        rng = np.random.default_rng([world.settings.seed, 2])
        size = world.settings.num_classes
        self._categories = []
        for category in np.tile(np.arange(size), per_class):
            other = rng.integers(world.num_images)
            shown = world.category[world.start[other] : world.start[other + 1]]
            self._categories.append(np.union1d(shown, category))
        self.evaluated = rng.random((len(self), size)) < negatives / len(self)
        for image, categories in enumerate(self._categories):
            self.evaluated[image, categories] = True

    def __len__(self) -> int:
        return len(self._categories)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, RoIs]]:
        """Image of each RoI, and the RoIs, of ``size`` images at a time; always the same."""
        world = self._world
        rng = np.random.default_rng([world.settings.seed, 3])
        for first in range(0, len(self), size):
            shown = self._categories[first : first + size]
            lengths = np.array([len(categories) for categories in shown])
            objects = np.concatenate(shown)
            looks = world.appearance.looks(objects, rng)
            start = np.cumsum(lengths) - lengths
            near = [rng.integers(n, size=self._background) + s for n, s in zip(lengths, start)]
            of_object = np.concatenate([np.arange(len(objects)), *near])
            foreground = np.arange(len(of_object)) < len(objects)
            overlap = overlaps(world, foreground, rng)
            features = world.appearance.features(looks[of_object], overlap, rng)
            labels = np.where(foreground, objects[of_object], world.settings.num_classes)
            image = first + np.repeat(np.arange(len(shown)), lengths)
            yield image[of_object], RoIs(features, labels)


def overlaps(world: World, foreground: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Share of each RoI that its object fills, (R,): 0 for background that is not near one."""
    settings, size = world.settings, len(foreground)
    near = rng.uniform(*settings.background_overlap, size) * (rng.random(size) < settings.near)
    return np.where(foreground, rng.uniform(*settings.foreground_overlap, size), near)
