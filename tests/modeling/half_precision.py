"""Training in bfloat16 against float32."""

import copy

import torch

from eql_d2.engine.hooks import find_statistics


def assert_bf16_trains_as_float32(model, step, rtol, atol=0.0):
    """Two steps without an update; the second has the weights that the first's statistics give.

    Compared are the losses, the statistics of each class, and the gradient of the classifier's
    bias: that of the logits, summed. Further back an untrained network amplifies the rounding.
    """
    half = copy.deepcopy(model)
    for seed in range(2):
        torch.manual_seed(seed)  # of the samplers
        expected = step(model)
        torch.manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16):
            losses = step(half)
        torch.testing.assert_close(losses, expected, rtol=rtol, atol=atol)
    found, expected = (
        {name: statistics.state_dict() for name, statistics in find_statistics(m).items()}
        for m in (half, model)
    )
    assert expected
    torch.testing.assert_close(found, expected, rtol=rtol, atol=0)
    for name, parameter in half.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all(), name
        if name.endswith(("cls_score.bias", "classifier.bias")):
            expected = model.get_parameter(name).grad
            worst = (parameter.grad - expected).abs().max()
            assert worst <= rtol * expected.abs().max(), name
