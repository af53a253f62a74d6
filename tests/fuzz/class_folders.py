"""Folders of class folders: what is missing, empty, doubled or strange in them."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

from eql_d2.data import LongTail, adopt_training_classes, register_class_folder
from tests.data.class_images import make_class_folders
from tests.fuzz.images import use_images
from tests.fuzz.runner import Case, in_new_folder
from tests.fuzz.values import VALUES, damage_bytes

_NAMES = ("class0", "class1", "..", ".hidden", "a\nb", "é", "x" * 200, " ", "class0.png", "-x", "*")
_NUMBERS = (*filter(lambda value: isinstance(value, (int, float)), VALUES), "x", None)


def cases(seed: int) -> Iterator[Case]:
    for index in itertools.count():
        yield f"seed {seed}, case {index}", in_new_folder(_run, f"{seed}/{index}")


def _run(seed: str, folder: Path) -> None:
    rng = random.Random(seed)
    root = folder / "data"
    make_class_folders(root, [rng.randrange(4) for _ in range(rng.choice([1, 3]))], side=4)
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        damage_folder(rng, root)
    if rng.random() < 0.3:
        names = rng.choices([*_NAMES, "../data/class0", "/etc", ""], k=rng.randrange(5))
        content = "\n".join(["class0", "class1", "class2", *names]).encode()
        content = damage_bytes(rng, content) if rng.random() < 0.3 else content
        (root / "classes.txt").write_bytes(content)
    long_tail = None
    if rng.random() < 0.2:
        long_tail = LongTail(rng.choice(_NUMBERS), rng.choice(_NUMBERS))
        register_class_folder("long tail", str(root), long_tail=long_tail)
    use_images(str(root))
    adopt_training_classes([str(root)], [str(root)])


def damage_folder(rng: random.Random, root: Path) -> None:
    """Add, remove, rename or damage something below a folder."""
    paths = sorted(root.rglob("*"))
    path = rng.choice(paths) if paths else root / "new"
    new = path.parent / rng.choice(_NAMES)
    action = rng.randrange(7)
    if action == 0 and path.is_file():
        path.unlink()
    elif action == 1 and path.is_file():
        path.write_bytes(damage_bytes(rng, path.read_bytes()))
    elif action == 2 and not new.exists() and not new.is_symlink():
        new.mkdir(parents=True)
    elif action == 3 and not new.exists() and path.exists():
        path.rename(new)
    elif action == 4 and not new.exists() and not new.is_symlink():
        new.symlink_to(rng.choice(["..", "nowhere", new.name, path.name]))
    elif action == 5 and not new.exists() and not new.is_symlink():
        new.write_bytes(rng.randbytes(20))
    elif action == 6 and path.is_file():
        path.rename(path.with_suffix(rng.choice([".PNG", ".txt", ".jpg", ""])))
