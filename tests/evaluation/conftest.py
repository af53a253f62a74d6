import pytest

from .federated_data import make_outputs, make_truth


@pytest.fixture(scope="module")
def truth():
    return make_truth(0, num_images=30)


@pytest.fixture(scope="module")
def outputs(truth):
    return make_outputs(truth, 0)
