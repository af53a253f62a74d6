"""Lists of images with labels."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

from detectron2.data import DatasetCatalog

from eql_d2.data import ClassificationMapper, register_image_list
from eql_d2.data.validation.validate import validate_image_list
from tests.data.class_images import make_image_list
from tests.fuzz.class_folders import damage_folder
from tests.fuzz.runner import Case, in_new_folder
from tests.fuzz.values import damage_bytes

_LINES = (
    *("class0/0.png 0", "class0/0.png 1", "class0/0.png\t2", "class0/0.png -1", "class0/0.png 99"),
    *("class0/0.png 1.0", "class0/0.png", "7", "class0/0.png ²", "class0/0.png " + "9" * 5000),
    *("../list.txt 0", "/etc/passwd 0", "gone.png 0", "", "   ", "\x00 0", "class0 0", "é.png 1"),
    *("class0/../class0/1.png 0", "class0/0.png +1", "class0/0.png 1_0", "class0/0.png ١"),
)


def cases(seed: int) -> Iterator[Case]:
    for index in itertools.count():
        yield f"seed {seed}, case {index}", in_new_folder(_run, f"{seed}/{index}")


def _run(seed: str, folder: Path) -> None:
    rng = random.Random(seed)
    root = folder / "data"
    list_file = Path(make_image_list(root, [0, 1, 2], seed=rng.randrange(9)))
    action = rng.randrange(4)
    if action == 0:
        list_file.write_bytes(damage_bytes(rng, list_file.read_bytes()))
    elif action == 1:
        damage_folder(rng, root)
    else:
        lines = [*list_file.read_text().splitlines(), *rng.choices(_LINES, k=rng.randrange(4))]
        rng.shuffle(lines)
        list_file.write_text(rng.choice(["\n", "\n", "\r\n", "\r"]).join(lines))
    arguments = str(list_file), str(root)
    findings = validate_image_list(*arguments, num_classes=3)
    try:
        register_image_list(str(list_file), *arguments, num_classes=3)
    except ValueError:
        assert findings.errors, "validate has found nothing"
        raise
    assert not findings.errors, f"registered in spite of:\n{findings.format()}"
    mapper = ClassificationMapper(transform=lambda image: image)
    for record in DatasetCatalog.get(str(list_file)):
        mapper(record)
