"""The world in numbers that LVIS has, too.

python -m eql_d2.demo.lvis_shaped.characterization
"""

import numpy as np

from ...data import CategoriesOfImages, frequency_groups
from .world import World, WorldSettings

_GROUPS = {"r": "rare", "c": "common", "f": "frequent"}


def characterize(world: World, threshold: float = 0.001) -> dict[str, float]:
    """Counts, and what repeat factors do; the exposures are medians over the classes of a group, at
    equally many steps.

    Args:
        world: with its images.
        threshold: of the repeat factors.
    """
    data = CategoriesOfImages(world.records(), world.settings.num_classes)
    exposure = data.exposure(threshold)
    group_of = np.array(frequency_groups(world.image_count))
    members = {name: group_of == group for group, name in _GROUPS.items()}
    return {
        "images": world.num_images,
        "images with a class": data.num_images,
        "classes": len(world.image_count),
        "classes an image": world.image_count.sum() / world.num_images,
        **{f"{name} classes": int(mask.sum()) for name, mask in members.items()},
        **{
            f"images of {name}": int(world.image_count[mask].sum())
            for name, mask in members.items()
        },
        "images that are repeated, percent": 100 * exposure.repeated_share,
        "length of a pass with repeat factors": exposure.pass_length,
        **{
            f"exposure of {name}": float(np.nanmedian(exposure.at_equal_steps[mask]))
            for name, mask in members.items()
        },
    }


def main() -> None:
    for name, value in characterize(World(WorldSettings())).items():
        print(f"{name:40s} {value:,}" if isinstance(value, int) else f"{name:40s} {value:.3f}")


if __name__ == "__main__":
    main()
