"""The world: how many classes and images, which image shows which class, what an RoI looks like."""

import dataclasses

import numpy as np
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT

LVIS_CLASSES = 1203
LVIS_IMAGES = 100_170


@dataclasses.dataclass(frozen=True)
class WorldSettings:
    """All that the world is made from; the same for every loss.

    Lengths are in units of the distance of a family's centre from the origin in one dimension.

    Attributes:
        num_classes: C; of fewer than LVIS's every k-th in the order of their counts is taken, and
            as large a part of the images.
        families: classes of a family are alike, as a cup and a teacup are.
        dimensions: of a feature.
        within_family: standard deviation of the classes around the centre of their family.
        instances: of an object's looks around its class. An image shows its objects as they are,
            however often it is repeated.
        noise: of an RoI around its object, new each time.
        contexts: kinds of surroundings, which all that an object does not fill of an RoI shows.
        rois_per_class: foreground RoIs of each class of an image.
        foreground_overlap: share of a foreground RoI that the object fills, from and to.
        background_overlap: of a background RoI near an object.
        near: share of the background RoIs that are near an object.
        seed: of the world; that of a training decides its order, weights and noise alone.
    """

    num_classes: int = LVIS_CLASSES
    families: int = 120
    dimensions: int = 64
    within_family: float = 0.22
    instances: float = 0.5
    noise: float = 0.7
    contexts: int = 50
    rois_per_class: int = 1
    foreground_overlap: tuple[float, float] = (0.6, 1.0)
    background_overlap: tuple[float, float] = (0.1, 0.4)
    near: float = 0.3
    seed: int = 0


def lvis_image_counts(num_classes: int = LVIS_CLASSES) -> np.ndarray:
    """Training images of the classes, int64 (C,): LVIS v1's own, in its order, or of fewer classes
    every k-th from the rarest to the most frequent."""
    counts = np.array([entry["image_count"] for entry in LVIS_CATEGORY_IMAGE_COUNT])
    if num_classes == len(counts):
        return counts
    return np.sort(counts)[np.linspace(0, len(counts) - 1, num_classes).round().astype(int)]


class World:
    """A world with its training images.

    The classes of an image are independent of each other: each class has its number of images,
    drawn among all.

    Attributes:
        settings: of the world.
        image_count: int64 (C,).
        num_images: N; those without a class are among them, as in LVIS's own count.
        start: int64 (N + 1,); image i shows ``category[start[i]:start[i + 1]]``.
        category: int64, of the pairs of image and class.
    """

    def __init__(self, settings: WorldSettings):
        self.settings = settings
        size = settings.num_classes
        self.num_images = round(LVIS_IMAGES * size / LVIS_CLASSES)
        self.image_count = np.minimum(lvis_image_counts(size), self.num_images)
        rng = np.random.default_rng(settings.seed)
        images = [rng.choice(self.num_images, n, replace=False) for n in self.image_count]
        image = np.concatenate(images)
        order = np.argsort(image, kind="stable")
        self.category = np.repeat(np.arange(size), self.image_count)[order]
        self.start = np.searchsorted(image[order], np.arange(self.num_images + 1))
        self.appearance = Appearance(settings, rng)
        self.looks = self.appearance.looks(self.category, rng)

    def records(self) -> list[dict]:
        """The images in Detectron2's format, as far as repeat factors need it."""
        shown = np.split(self.category, self.start[1:-1])
        return [
            {"annotations": [{"category_id": c} for c in categories]}
            for categories in map(np.ndarray.tolist, shown)
        ]


class Appearance:
    """What the RoIs of a world look like.

    Args:
        settings: of the world.
        rng: draws prototypes and the last, curved map to the features.
    """

    def __init__(self, settings: WorldSettings, rng: np.random.Generator):
        self.settings, size = settings, settings.dimensions
        families = _normal(rng, settings.families, size)
        # Each family has its share of rare and of frequent classes
        family = rng.permutation(np.arange(settings.num_classes) % settings.families)
        spread = settings.within_family * _normal(rng, settings.num_classes, size)
        self.prototypes = families[family] + spread
        self.contexts = _normal(rng, settings.contexts, size)
        self._maps = [_normal(rng, size, size) / np.float32(size**0.5) for _ in range(2)]

    def looks(self, category: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Of objects of these classes, float32 (n, D)."""
        spread = self.settings.instances * _normal(rng, len(category), self.settings.dimensions)
        return self.prototypes[category] + spread

    def features(
        self, looks: np.ndarray, overlap: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Of RoIs that an object fills in part, float32 (n, D).

        Args:
            looks: of the objects, (n, D).
            overlap: share that the object fills, (n,).
            rng: draws the surroundings and the noise.
        """
        share = overlap.astype(np.float32)[:, None]
        around = self.contexts[rng.integers(len(self.contexts), size=len(looks))]
        x = share * looks + (1 - share) * around
        x += self.settings.noise * _normal(rng, *looks.shape)
        return np.tanh(x @ self._maps[0]) @ self._maps[1] + 0.1 * x


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)
