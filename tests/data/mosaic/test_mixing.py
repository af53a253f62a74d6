"""What is drawn agrees with the pixels, and with the official rules written down once more."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.data import detection_utils
from detectron2.structures import BoxMode, polygons_to_bitmask

from eql_d2 import InputError
from eql_d2.data import MosaicMixup
from tests.data.mosaic.scenes import draw_records, random_records
from tests.data.rectangles import COLORS, box_of, pixels_of

SIZE = 96


def read(record):
    return detection_utils.read_image(record["file_name"], "RGB")


def mixtures(records, count, **kwargs):
    """The first four records, and the fifth mixed in."""
    np.random.seed(0)
    mixing = MosaicMixup(SIZE, **kwargs)
    for _ in range(count):
        yield mixing.draw(records[0], iter(records[1:]).__next__)


def encoded(record):
    """With masks in the place of polygons."""
    size = record["height"], record["width"]
    annotations = []
    for annotation in record["annotations"]:
        mask = polygons_to_bitmask(annotation["segmentation"], *size)
        run_lengths = mask_util.encode(np.asfortranarray(mask))
        annotations.append({**annotation, "segmentation": run_lengths})
    return {**record, "annotations": annotations}


def test_rectangles_are_where_boxes_polygons_and_masks_say(tmp_path):
    records = draw_records(tmp_path)
    num_whole = num_cut = 0
    with_masks = [encoded(record) for record in records]
    mixed = [list(mixtures(x, 120, scale=(0.3, 2.0))) for x in (records, with_masks)]
    for mixture, other in zip(*mixed):
        image = mixture.read(read)
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        assert mixture.overlay is None  # the fifth has no object
        for tile, masked in zip(mixture.tiles, other.tiles):
            for annotation, same in zip(tile.apply_annotations(), masked.apply_annotations()):
                box, color = annotation["bbox"], COLORS[annotation["category_id"]]
                pixels = pixels_of(image, color)
                polygon = polygons_to_bitmask(annotation["segmentation"], SIZE, SIZE)
                assert (polygon != pixels).mean() < 0.015
                assert (mask_util.decode(same["segmentation"]) != pixels).mean() < 0.015
                assert annotation["bbox_mode"] == BoxMode.XYXY_ABS
                if box.min() > 0 and box.max() < SIZE and tile.boxes.shape == (1, 4):
                    whole = tile.transforms[1].w == tile.transforms[0].new_w
                    whole &= tile.transforms[1].h == tile.transforms[0].new_h
                    if whole:  # a turned rectangle that the canvas cut has a larger box
                        np.testing.assert_allclose(box_of(pixels), box, atol=1.5)
                        num_whole += 1
                else:
                    num_cut += 1
    assert num_whole > 60 and num_cut > 60


def test_the_image_that_is_mixed_in_is_half_of_the_result(tmp_path):
    records = draw_records(tmp_path, 10)
    num_whole = 0
    for mixture in mixtures([*records[5:9], records[0]], 150):
        image = mixture.read(read)
        if mixture.overlay is None:
            continue
        (annotation,) = mixture.overlay.apply_annotations()
        box = annotation["bbox"]
        # Red over grey: half of 255 and of at most 70
        pixels = image[..., 0].astype(int) - image[..., 1] > 64
        assert 127 <= image[..., 0].max() <= 162 and (image[..., 1] <= 35).all()
        np.testing.assert_allclose(box_of(pixels), box, atol=1.5)
        polygon = polygons_to_bitmask(annotation["segmentation"], SIZE, SIZE)
        assert (polygon != pixels).mean() < 0.02
        num_whole += 1
    assert num_whole > 100


def test_nothing_is_mixed_in_where_no_object_survives(tmp_path):
    records = draw_records(tmp_path)
    small = mixtures([*records[:4], records[1]], 20, mixup_scale=(0.02, 0.03))  # 3 pixels
    without = mixtures([*records[:4], records[1]], 20, mixup_prob=0.0)
    for mixed in (mixtures(records, 20), small, without):
        assert all(mixture.overlay is None for mixture in mixed)


def test_tiles_meet_at_a_point_and_keep_their_quarters():
    records = random_records(5)
    for mixture in mixtures(records, 50):
        regions = []
        for tile in mixture.tiles:
            _, crop, pad, _ = tile.transforms
            assert pad.x0 + crop.w + pad.x1 == pad.y0 + crop.h + pad.y1 == 2 * SIZE
            regions.append((pad.x0, pad.y0, pad.x0 + crop.w, pad.y0 + crop.h))
        (_, _, x, y), right, low, last = regions
        assert SIZE // 2 <= x <= 3 * SIZE // 2 and SIZE // 2 <= y <= 3 * SIZE // 2
        assert right[0] == x and right[3] == y and low[2] == x and low[1] == y
        assert last[:2] == (x, y)


def cut(boxes, width, height):
    return [(*np.clip(b[0::2], 0, width), *np.clip(b[1::2], 0, height)) for b in boxes]


def expected_boxes(tile):
    """Boxes and classes of a tile by the official steps: scaled, moved, cut to the canvas, corners
    mapped, cut to the output, tested."""
    resize, crop, pad, affine = tile.transforms
    record, kept = tile.record, []
    scale = min(SIZE / record["height"], SIZE / record["width"])
    factor = np.sqrt(np.linalg.det(affine.matrix[:, :2]))
    for annotation in record["annotations"]:
        x, y, width, height = annotation["bbox"]
        x0, x1 = np.clip([x, x + width], 0, record["width"]) * resize.new_w / record["width"]
        y0, y1 = np.clip([y, y + height], 0, record["height"]) * resize.new_h / record["height"]
        assert resize.new_w == pytest.approx(record["width"] * scale, abs=0.5)
        x0, x1 = np.clip([x0 - crop.x0 + pad.x0, x1 - crop.x0 + pad.x0], 0, 2 * SIZE)
        y0, y1 = np.clip([y0 - crop.y0 + pad.y0, y1 - crop.y0 + pad.y0], 0, 2 * SIZE)
        if x0 == x1 or y0 == y1:
            continue
        corners = affine.matrix @ np.array([(x0, x1, x0, x1), (y0, y0, y1, y1), (1, 1, 1, 1)])
        left, right = np.clip([corners[0].min(), corners[0].max()], 0, SIZE)
        top, bottom = np.clip([corners[1].min(), corners[1].max()], 0, SIZE)
        w, h = right - left, bottom - top
        area = (x1 - x0) * (y1 - y0) * factor**2
        if w > 2 and h > 2 and w * h / area > 0.2 and max(w / h, h / w) < 20:
            kept.append((left, top, right, bottom, annotation["category_id"]))
    return kept


def test_boxes_of_many_random_mosaics_are_the_official_ones():
    records = random_records(200)
    rng, num_boxes, num_dropped = np.random.default_rng(0), 0, 0
    mixing = MosaicMixup(SIZE)
    np.random.seed(0)
    for _ in range(1000):
        mixture = mixing.draw(records[rng.integers(200)], lambda: records[rng.integers(200)])
        for tile in mixture.tiles:
            expected = expected_boxes(tile)
            found = [(*b, x["category_id"]) for b, x in zip(tile.boxes, tile.annotations)]
            np.testing.assert_allclose(
                np.reshape(found, (-1, 5)), np.reshape(expected, (-1, 5)), atol=1e-6
            )
            num_boxes += len(expected)
            num_dropped += len(tile.record["annotations"]) - len(expected)
        for layer in mixture.layers:
            assert (layer.boxes >= 0).all() and (layer.boxes <= SIZE).all()
            assert (layer.boxes[:, 2:] - layer.boxes[:, :2] > 2).all()
    assert num_boxes > 2000 and num_dropped > 2000


def test_the_place_of_what_is_mixed_in_is_drawn_as_in_the_official_code():
    """Where it is larger than the square, any start but the last; else at the upper left."""
    records = random_records(1, seed=3)
    records[0].update(height=100, width=100)
    records[0]["annotations"] = [{**records[0]["annotations"][0], "bbox": [30, 30, 40, 40]}]
    starts, factors = set(), []
    for mixture in mixtures([*random_records(4), records[0]], 600, mixup_scale=(0.8, 1.2)):
        resize, pad, crop = mixture.overlay.transforms
        factors.append(resize.new_w / SIZE)
        largest = max(resize.new_w - SIZE, 0)
        assert 0 <= crop.x0 <= max(largest - 1, 0) and 0 <= crop.y0 <= max(largest - 1, 0)
        assert (crop.w, crop.h, pad.x0, pad.y0) == (SIZE, SIZE, 0, 0)
        assert (resize.h, resize.w) == (100, 100) and resize.new_h == resize.new_w
        starts.add((crop.x0 / max(largest - 1, 1), crop.y0 / max(largest - 1, 1)))
    assert 0.78 < min(factors) < 0.81 and 1.18 < max(factors) <= 1.2
    assert {x for x, _ in starts} >= {0, 1} and {y for _, y in starts} >= {0, 1}


def test_crowds_are_left_out():
    records = random_records(5)
    for record in records:
        record["annotations"] = [{**x, "iscrowd": 1} for x in record["annotations"]]
    assert not any(layer.boxes.size for m in mixtures(records, 20) for layer in m.layers)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("size", x) for x in (0, 1, 64.5, -2, "a", None, float("inf"))),
        *(("mixup_prob", x) for x in (-0.1, 1.1, float("nan"))),
        *(("mixup_scale", x) for x in ((0, 1), (2, 1), 1.0)),
        ("scale", (0, 1)),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(argument, value):
    with pytest.raises(InputError, match=rf"^{argument} of .* \(INPUT.MOSAIC.{argument.upper()}\)"):
        MosaicMixup(**{argument: value})
