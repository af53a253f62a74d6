"""The exposure that a threshold gives, against what Detectron2's sampler really draws."""

import itertools

import numpy as np
import pytest
from detectron2.data.samplers import RepeatFactorTrainingSampler

from eql_d2 import InputError
from eql_d2.data import CategoriesOfImages


def records_of(images, crowds=()):
    """Records of the categories of each image."""
    return [
        {"annotations": [{"category_id": c, "iscrowd": int(i in crowds)} for c in categories]}
        for i, categories in enumerate(images)
    ]


def long_tail(num_images=2000, num_classes=40, categories_an_image=3, seed=0):
    """Categories of Zipf's law; an image's own are drawn together."""
    rng = np.random.default_rng(seed)
    probability = 1 / np.arange(1, num_classes + 1) ** 1.5
    probability /= probability.sum()
    return records_of(
        rng.choice(num_classes, rng.integers(1, 2 * categories_an_image), p=probability).tolist()
        for _ in range(num_images)
    )


def drawn(records, threshold, num_classes, passes):
    """Images with each category in so many passes of the sampler, and the images of a pass."""
    factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(records, threshold)
    sampler = RepeatFactorTrainingSampler(factors, seed=3)
    length = round(factors.double().sum().item() * passes)
    images = np.bincount(list(itertools.islice(iter(sampler), length)), minlength=len(records))
    shown = np.zeros(num_classes)
    for count, record in zip(images, records):
        for category in {a["category_id"] for a in record["annotations"]}:
            shown[category] += count
    return shown / passes, length / passes


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.3])
def test_it_is_what_the_sampler_draws(threshold):
    records = long_tail()
    found = CategoriesOfImages(records, 40)
    exposure = found.exposure(threshold)
    shown, length = drawn(records, threshold, 40, passes=40)
    assert exposure.pass_length * 2000 == pytest.approx(length, rel=1e-3)
    known = found.image_count > 0
    expected = shown[known] / found.image_count[known]
    np.testing.assert_allclose(exposure.in_a_pass[known], expected, rtol=0.02)
    # Of each group of categories, where the rounding of the sampler averages out
    for group in np.array_split(np.flatnonzero(known), 3):
        of_group = (exposure.in_a_pass * found.image_count)[group].sum()
        assert of_group == pytest.approx(shown[group].sum(), rel=0.01)


def test_what_sharing_images_takes_away():
    """A rare category alone in its image, and one that is always beside the frequent one."""
    alone = CategoriesOfImages(records_of([[0]] * 99 + [[1]]), 2).exposure(0.16)
    assert alone.repeat_factors.tolist() == [1, pytest.approx(4)]
    assert alone.at_equal_steps[1] == pytest.approx(4 / 1.03) and alone.repeated_share == 0.01
    np.testing.assert_allclose(alone.lost, 0, atol=1e-12)
    beside = CategoriesOfImages(records_of([[0]] * 99 + [[0, 1]]), 2).exposure(0.16)
    assert beside.in_a_pass.tolist() == [pytest.approx(1.03), pytest.approx(4)]
    assert beside.lost[0] < 0 < beside.lost[1]
    everywhere = CategoriesOfImages(records_of([[0, 1]] * 4), 2).exposure(1.0)
    np.testing.assert_allclose(everywhere.at_equal_steps, 1)


def test_crowds_count_as_in_the_loader():
    """An image with crowds alone is filtered before the sampler; in others they have a factor."""
    records = records_of([[0], [0], [0, 1], [1]], crowds=[3])
    found = CategoriesOfImages(records, 3)
    assert found.num_images == 3 and found.image_count.tolist() == [3, 1, 0]
    exposure = found.exposure(1.0)
    assert np.isnan(exposure.in_a_pass[2]) and np.isnan(exposure.lost[2])


def test_a_threshold_for_a_wanted_dose():
    found = CategoriesOfImages(long_tail(), 40)
    rare = found.image_count <= np.median(found.image_count)
    threshold = found.threshold_for(2.0, rare)
    reached = np.nanmedian(found.exposure(threshold).at_equal_steps[rare])
    assert reached == pytest.approx(2.0, rel=1e-3)
    assert np.nanmedian(found.exposure(0.98 * threshold).at_equal_steps[rare]) < 2


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_a_threshold_that_is_no_share_is_refused(threshold):
    with pytest.raises(InputError, match="repeat threshold is .*give 0 to 1"):
        CategoriesOfImages(long_tail(50), 40).exposure(threshold)


def test_a_dose_that_nothing_gives_is_refused_with_the_most():
    found = CategoriesOfImages(records_of([[0, 1]] * 4 + [[0]]), 2)
    with pytest.raises(
        InputError,
        match="no threshold shows these categories 9 times as often: the most is 1.02, with 1",
    ):
        found.threshold_for(9.0, np.array([1]))
    with pytest.raises(InputError, match="no image is annotated"):
        CategoriesOfImages(records_of([[0]], crowds=[0]), 1)
