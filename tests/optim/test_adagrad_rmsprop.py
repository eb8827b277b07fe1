"""AdagradRMSProp: its formula, and numbers of Pyro's."""

from __future__ import annotations

import pytest
import torch

from pyroxene.optim.adagrad_rmsprop import AdagradRMSProp

GRADIENTS = [[1.5, -0.3, -20.0, 0.6], [-1.1, -1.4, 0.4, 0.8], [-0.7, -0.4, -0.6, 0.2]]

# Made with pyro-ppl 1.9.2 (pyro.optim.adagrad_rmsprop.AdagradRMSProp) and torch 2.13 in float64: three steps from
# zero with GRADIENTS.
PYRO_NUMBERS = [
    ({}, [-0.1165600657, 1.0317885739, 0.9564512406, -0.7959918377]),
    ({"eta": 0.3, "delta": 0.01, "t": 0.4}, [-0.0228747625, 0.2653201443, 0.2886117052, -0.2364343155]),
]


@pytest.mark.parametrize(("options", "expected"), PYRO_NUMBERS)
def test_numbers_of_pyro(options, expected):
    param = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = AdagradRMSProp([param], **options)
    for gradient in GRADIENTS:
        param.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    assert param.tolist() == pytest.approx(expected, rel=1e-8)


def test_two_steps_by_hand():
    param = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = AdagradRMSProp([param], eta=2.0, delta=0.0, t=0.25)
    param.grad = torch.tensor([3.0], dtype=torch.float64)
    optimizer.step()
    assert param.item() == pytest.approx(-2.0 * 3.0 / (1 + 3.0))
    param.grad = torch.tensor([1.0], dtype=torch.float64)
    optimizer.step()
    root = (0.75 * 9.0 + 0.25 * 1.0) ** 0.5
    assert param.item() == pytest.approx(-1.5 - 2.0 * 2**-0.5 / (1 + root))


def test_closure_and_missing_gradients():
    param = torch.ones(1, requires_grad=True)
    optimizer = AdagradRMSProp([param])
    assert optimizer.step() is None
    assert param.item() == 1.0

    def closure():
        loss = (param**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert param.item() == pytest.approx(1.0 - 2.0 / 3.0)
