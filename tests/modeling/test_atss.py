import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.structures import Boxes

from eql_d2 import ATSSAssigner, ATSSHead, InputError
from tests.reference import atss as reference

STRIDES = (8, 16, 32)
IMAGE_SIZE = (72, 90)


def make_anchors(sizes=(6, 8), image_size=IMAGE_SIZE):
    """Two squares at each location, on a padded grid, in Detectron2's order."""
    generator = DefaultAnchorGenerator(
        sizes=[[size * stride / 2 for size in sizes] for stride in STRIDES],
        aspect_ratios=[1.0],
        strides=STRIDES,
    )
    height, width = (-(-side // 32) * 32 for side in image_size)
    return generator([torch.zeros(1, 1, height // s, width // s) for s in STRIDES])


def random_boxes(seed):
    """Several objects: overlapping, tiny, degenerate, outside and at points of symmetry."""
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 9, (), generator=generator))
    height, width = IMAGE_SIZE
    centers = torch.rand(count, 2, generator=generator) * torch.tensor([width, height])
    sizes = 10 ** (torch.rand(count, 2, generator=generator) * 2.2 - 0.2)
    boxes = torch.cat([centers - sizes / 2, centers + sizes / 2], dim=1)
    special = torch.tensor(
        [
            [-60.0, -60.0, -10.0, -10.0],  # outside
            [60.0, 50.0, 130.0, 120.0],  # reaches out
            [20.0, 20.0, 20.5, 60.0],  # thinner than a pixel
            [16.0, 16.0, 48.0, 48.0],  # centre at the corner of cells: equal distances
            [16.0, 16.0, 48.0, 48.0],  # the same object twice
        ]
    )
    chosen = torch.rand(len(special), generator=generator) < 0.5
    return torch.cat([boxes, special[chosen]])


def brute_force(anchors, boxes, num_candidates=18):
    levels = [level.tensor.tolist() for level in anchors]
    matched = reference.assign(levels, boxes.tolist(), IMAGE_SIZE, num_candidates)
    return torch.tensor(matched)


@pytest.mark.parametrize("num_candidates", [2, 5, 18])
def test_assignment_is_that_of_brute_force(num_candidates):
    anchors = make_anchors()
    assigner = ATSSAssigner(num_candidates)
    num_positive = 0
    for seed in range(60):
        boxes = random_boxes(seed)
        matched = assigner(anchors, Boxes(boxes), IMAGE_SIZE)
        expected = brute_force(anchors, boxes, num_candidates)
        assert torch.equal(matched, expected), f"seed {seed}"
        num_positive += int((matched >= 0).sum())
    assert num_positive > 150


def test_level_with_fewer_anchors_than_candidates():
    anchors = make_anchors()
    assert len(anchors[-1]) < 30
    boxes = random_boxes(1)
    matched = ATSSAssigner(30)(anchors, Boxes(boxes), IMAGE_SIZE)
    assert torch.equal(matched, brute_force(anchors, boxes, 30))


def test_anchor_of_two_objects_goes_to_the_higher_iou_and_then_to_the_first():
    anchors = make_anchors()
    target = anchors[0].tensor[100]
    worse = target + torch.tensor([-2.0, -2.0, 2.0, 2.0])
    matched = ATSSAssigner()(anchors, Boxes(torch.stack([worse, target, target])), IMAGE_SIZE)
    assert matched[100] == 1
    assert not (matched == 2).any()


def test_object_without_a_candidate_inside_has_no_positive():
    anchors = make_anchors()
    # Between the centres of the cells: x = 28 and 36, 24 and 40, 16 and 48.
    narrow = torch.tensor([[29.0, 10.0, 35.0, 60.0]])
    matched = ATSSAssigner()(anchors, Boxes(narrow), IMAGE_SIZE)
    assert (matched == -1).all()


def test_objects_of_a_pixel_or_not_finite_are_left_out_and_keep_the_others_indices():
    anchors = make_anchors()
    boxes = torch.tensor([[16.0, 16, 17, 60], [float("nan")] * 4, [10, 10, 50, 50]])
    matched = ATSSAssigner()(anchors, Boxes(boxes), IMAGE_SIZE)
    assert set(matched.tolist()) == {-1, 2}


def test_image_without_objects_is_background():
    anchors = make_anchors()
    matched = ATSSAssigner()(anchors, Boxes(torch.zeros(0, 4)), IMAGE_SIZE)
    assert matched.dtype == torch.int64
    assert matched.tolist() == [-1] * sum(len(level) for level in anchors)


@pytest.mark.parametrize("count", [3, 7, 18])
def test_candidates_with_the_same_iou_all_reach_the_threshold(count):
    """The rounding of the mean of equal numbers must not lift the threshold above them."""
    anchors = [Boxes(torch.tensor([[0.0, 0.0, 7.3, 9.1]]).repeat(count, 1))]
    for right in torch.arange(4.0, 7.0, 0.1).tolist():
        matched = ATSSAssigner()(anchors, Boxes(torch.tensor([[1.0, 2.0, right, 8.3]])), IMAGE_SIZE)
        assert (matched == 0).all()


def test_center_of_an_object_that_reaches_out_is_clamped_to_the_image():
    anchors = make_anchors()
    boxes = torch.tensor([[40.0, 30.0, 260.0, 70.0]])  # its centre is 60 pixels to the right
    matched = ATSSAssigner(6)(anchors, Boxes(boxes), IMAGE_SIZE)
    assert torch.equal(matched, brute_force(anchors, boxes, 6))
    assert not torch.equal(matched, ATSSAssigner(6)(anchors, Boxes(boxes), (1000, 1000)))


def test_bad_number_of_candidates():
    with pytest.raises(InputError, match="num_candidates"):
        ATSSAssigner(0)


def test_head_maps_and_initialisation():
    torch.manual_seed(0)
    head = ATSSHead(
        input_shape=[ShapeSpec(channels=32)] * 2, num_classes=7, num_anchors=2, conv_dims=[64] * 4
    )
    features = [torch.rand(3, 32, 8, 10), torch.rand(3, 32, 4, 5)]
    logits, deltas, ious = head(features)
    assert [x.shape[1:] for x in logits] == [(14, 8, 10), (14, 4, 5)]
    assert [x.shape[1:] for x in deltas] == [(8, 8, 10), (8, 4, 5)]
    assert [x.shape[1:] for x in ious] == [(2, 8, 10), (2, 4, 5)]
    assert len(head.cls_subnet) == len(head.bbox_subnet) == 4
    for branch in (head.cls_subnet, head.bbox_subnet):
        assert all(layer.bias is None and layer.norm.num_groups == 32 for layer in branch)
    for layer in (head.cls_subnet[3], head.bbox_pred, head.iou_pred):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_iou_branch_stands_on_the_box_features():
    head = ATSSHead(
        input_shape=[ShapeSpec(channels=32)], num_classes=7, num_anchors=2, conv_dims=[32]
    )
    head([torch.rand(1, 32, 4, 4)])[2][0].sum().backward()
    assert head.bbox_subnet[0].weight.grad.abs().sum() > 0
    assert head.cls_subnet[0].weight.grad is None
