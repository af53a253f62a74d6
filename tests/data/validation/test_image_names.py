"""The line of an image that is missing, or of another size than annotated, says why it may be."""

import json
import re

import pytest
from PIL import Image

from eql_d2 import InputError
from eql_d2.data.validation.validate import validate_json


def line_of(folder, **image):
    """The first error of a file of one image, as a training has it."""
    image = {"id": 1, "width": 8, "height": 8, **image}
    category = {"id": 1, "name": "a"}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4], "iscrowd": 0, "area": 16}
    data = {"images": [image], "annotations": [box], "categories": [category]}
    (folder / "data.json").write_text(json.dumps(data))
    with pytest.raises(InputError) as error:
        validate_json(str(folder / "data.json"), str(folder / "images")).raise_error()
    return str(error.value)


@pytest.mark.parametrize(
    "name, message",
    [
        ("sub\\b.PNG", "has the . of Windows, validate --write turns them"),
        ("C:\\images\\a.png", r"of Windows, there is '.*/a.png', correct the folder"),
        ("SUB/B.png", r"the file is '.*/sub/b.PNG', capitals and small letters differ"),
        ("images/a.png", "'images' is there twice, give the folder above"),
        ("https://example.org/a.png?x=1", "it is a URL, and '.*/a.png' is there: give the name"),
        ("https://example.org/z.png", "it is a URL, download the images"),
        ("/data/upload/a.png", "leads out of .*, where '.*/a.png' has that name: give the name"),
        ("a.jpg", r"there is '.*/a.png', with another ending"),
        ("a%2Epng", r"the file is '.*/a.png', the name has the % of URLs"),
        ("ae\u0301.png", "other characters of Unicode"),
        ("a.png ", "a name begins or ends with spaces"),
        ("b.PNG", r"there is '.*/sub/b.PNG', correct the folder or the name"),
        ("none.png", "none.png': check the image folder"),
    ],
)
def test_a_missing_image_says_why(tmp_path, name, message):
    (tmp_path / "images/sub").mkdir(parents=True)
    for path in ("a.png", "sub/b.PNG", "a\u00e9.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / path)
    assert re.search(message, line_of(tmp_path, file_name=name))


@pytest.mark.parametrize(
    "orientation, size, why",
    [
        (6, (40, 20), "its EXIF orientation turns it, and the annotations are of the image before"),
        (1, (20, 40), "width and height are swapped in the annotations"),
        (1, (80, 40), "it was resized by 0.5: take the original, or scale the annotations"),
        (1, (81, 41), "it was resized by 0.494"),  # the shorter side was rounded
        (1, (40, 40), "replace it or mend the annotations"),
    ],
)
def test_an_image_of_another_size_says_why(tmp_path, orientation, size, why):
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 20)).save(tmp_path / "images/a.jpg", exif=exif)
    line = line_of(tmp_path, file_name="a.jpg", width=size[0], height=size[1])
    assert f"annotated with {size[0]} x {size[1]}: {why}" in line
