"""Which names of libraries draw random numbers, and which fix them."""

import pytest

from slipway.code.ambient import fixes_seed, is_random


@pytest.mark.parametrize(
    "name", ["torch.randn", "torch.nn.Linear", "torch.randperm", "numpy.random.normal", "random.random"]
)
def test_what_draws(name: str) -> None:
    assert is_random(name, 1)
    assert not is_random(name, -1)  # named only, as a type for example


@pytest.mark.parametrize(
    "name", ["torch.zeros", "torch.nn.ReLU", "torch.manual_seed", "numpy.random.seed", "numpy.zeros"]
)
def test_what_does_not_draw(name: str) -> None:
    assert not is_random(name, 1)


@pytest.mark.parametrize("name", ["torch.manual_seed", "numpy.random.seed", "random.seed"])
def test_what_fixes_the_seed(name: str) -> None:
    assert fixes_seed(name, 1)
    assert not fixes_seed(name, 0)
