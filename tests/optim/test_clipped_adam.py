"""ClippedAdam: its formula, numbers of Pyro's, and Adam as a special case."""

from __future__ import annotations

import math

import pytest
import torch

from pyroxene.optim.clipped_adam import ClippedAdam

GRADIENTS = [[1.5, -0.3, -20.0, 0.6], [-1.1, -1.4, 0.4, 0.8], [-0.7, -0.4, -0.6, 0.2]]

# Made with pyro-ppl 1.9.2 (pyro.optim.clipped_adam.ClippedAdam) and torch 2.13 in float64: three steps from zero
# with GRADIENTS.
PYRO_NUMBERS = [
    ({"lr": 0.1, "lrd": 0.9, "clip_norm": 4.0}, [-0.0869655474, 0.2199473293, 0.1779160875, -0.2350302897]),
    ({"lr": 0.1, "weight_decay": 0.5}, [-0.0898464664, 0.2667848902, 0.2159872452, -0.2834413969]),
    (
        {"lr": 0.1, "centered_variance": True, "betas": (0.8, 0.95), "eps": 0.001},
        [-0.10383915, 0.3483855253, 0.2570930606, -0.3815201401],
    ),
]


def run(options) -> torch.Tensor:
    param = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = ClippedAdam([param], **options)
    for gradient in GRADIENTS:
        param.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return param.detach()


@pytest.mark.parametrize(("options", "expected"), PYRO_NUMBERS)
def test_numbers_of_pyro(options, expected):
    assert run(options).tolist() == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_clipping_it_is_adam_with_its_eps_before_the_correction(dtype):
    torch.manual_seed(0)
    ours = torch.randn(3, 2, dtype=dtype).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    optimizer = ClippedAdam([ours], lr=0.1, eps=0.0, clip_norm=math.inf, weight_decay=0.1)
    adam = torch.optim.Adam([theirs], lr=0.1, eps=0.0, weight_decay=0.1)
    for _ in range(5):
        ours.grad = torch.randn(3, 2, dtype=dtype)
        theirs.grad = ours.grad.clone()
        optimizer.step()
        adam.step()
    torch.testing.assert_close(ours, theirs)


def test_gradient_is_clamped_and_the_rate_decays():
    param = torch.zeros(3, requires_grad=True)
    optimizer = ClippedAdam([param], lr=0.4, lrd=0.5, clip_norm=1.0)
    param.grad = torch.tensor([3.0, -20.0, 0.5])
    optimizer.step()
    assert optimizer.state[param]["exp_avg"].tolist() == pytest.approx([0.1, -0.1, 0.05])
    assert optimizer.param_groups[0]["lr"] == 0.2
    torch.testing.assert_close(param.detach(), torch.tensor([-0.2, 0.2, -0.2]))


def test_several_dtypes_and_groups():
    one = torch.zeros(2, requires_grad=True)
    two = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    three = torch.zeros(1, requires_grad=True)
    optimizer = ClippedAdam([{"params": [one, two]}, {"params": [three], "lr": 0.5}], lr=0.1)
    for param in (one, two, three):
        param.grad = torch.ones_like(param)
    optimizer.step()
    assert [p[0].item() for p in (one, two, three)] == pytest.approx([-0.1, -0.1, -0.5], rel=1e-5)


def test_closure_is_evaluated_with_gradients():
    param = torch.ones(2, requires_grad=True)
    optimizer = ClippedAdam([param], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (param**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert param[0].item() == pytest.approx(0.9, rel=1e-5)


def test_parameters_without_gradient_are_skipped():
    param = torch.ones(2, requires_grad=True)
    optimizer = ClippedAdam([param])
    assert optimizer.step() is None
    assert not optimizer.state[param]
