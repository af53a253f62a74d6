import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg, instantiate

from eql_d2 import ECM, InputError, add_eql_config
from eql_d2.losses import build_loss
from tests.losses.test_softmax_eql import C, batch, value_and_gradient
from tests.losses.trajectory import follow
from tests.reference.ecm import ReferenceECM

COUNT = torch.tensor([400, 80, 20, 5, 1, 1])


@pytest.mark.parametrize("ratio", [None, 6.3313, 0.5])
def test_200_steps_equal_the_reference(ratio):
    """Without and with the background of a box head."""
    loss = ECM(C, COUNT) if ratio is None else ECM(C, COUNT, ratio)
    worst, weight = follow(loss, ReferenceECM(COUNT, ratio), C + (ratio is not None))
    assert worst <= 1e-5 and weight.abs().max() > 0.1


@pytest.mark.parametrize("columns", [C, C + 1])
def test_loss_and_gradient_equal_the_formula_in_float64(columns):
    logits, targets = batch(rows=10, columns=columns, dtype=torch.float64)
    reference = ReferenceECM(COUNT, 6.3313 if columns > C else None)
    found, expected = value_and_gradient(ECM(C, COUNT), logits, targets), reference.step
    torch.testing.assert_close(found, expected(logits, targets), rtol=1e-6, atol=1e-9)


def test_rare_classes_must_be_more_certain_before_they_are_left_alone():
    """A positive of theirs is pulled harder at the same logit, a negative pushed less."""
    logits = torch.zeros(2, C, requires_grad=True)
    (gradient,) = torch.autograd.grad(ECM(C, COUNT)(logits, torch.tensor([0, 4])), logits)
    assert gradient[1, 4].abs() > 3 * gradient[0, 0].abs()
    assert gradient[0, 4] < gradient[1, 0]


def test_scores_are_plain_sigmoids_that_the_background_takes_from():
    logits, _ = batch(columns=C + 1)
    p = logits.sigmoid()
    found = ECM(C, COUNT).scores(logits)
    torch.testing.assert_close(found, p[:, :C] * (1 - p[:, C:]))
    torch.testing.assert_close(ECM(C, COUNT).scores(logits[:, :C]), p[:, :C])


def test_rows_without_other_columns_and_wrong_arguments_get_one_line():
    with pytest.raises(InputError, match="^ECM compares a class with all others, of which there"):
        ECM(1, COUNT[:1])(torch.zeros(2, 1), torch.zeros(2, dtype=torch.long))
    assert ECM(1, COUNT[:1])(torch.zeros(2, 2), torch.tensor([0, 1])).isfinite()
    for ratio in (0, -1.0, float("nan")):
        with pytest.raises(InputError, match=f"^background_ratio of ECM is {ratio}: it must be"):
            ECM(C, COUNT, ratio)
    with pytest.raises(InputError, match="^class_count of ECM is not positive for 2 of 6 classes"):
        ECM(C, COUNT - 1)


def test_yaml_and_lazy_configs_build_it():
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_list(["MODEL.EQL.LOSS", "ECM", "MODEL.EQL.ECM.BACKGROUND_RATIO", 3.0])
    of_yaml = build_loss(cfg, C, class_count=lambda: COUNT)
    of_lazy = instantiate(L(ECM)(num_classes=C, class_count=COUNT, background_ratio=3.0))
    logits, targets = batch(columns=C + 1)
    assert torch.equal(of_yaml(logits, targets), of_lazy(logits, targets))
    cfg.MODEL.EQL.PRIOR_PROB = 0.1
    with pytest.raises(InputError, match="PRIOR_PROB is 0.1, but ECM has no prior: leave it out"):
        build_loss(cfg, C, class_count=lambda: COUNT)
