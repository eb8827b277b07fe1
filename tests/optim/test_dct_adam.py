"""DCTAdam: numbers of Pyro's, its second coordinates, and subsamples."""

from __future__ import annotations

import pytest
import torch

from pyroxene.errors import OptionError
from pyroxene.optim.clipped_adam import ClippedAdam
from pyroxene.optim.dct_adam import DCTAdam

GRADIENTS = [[1.5, -0.3, -20.0, 0.6], [-1.1, -1.4, 0.4, 0.8], [-0.7, -0.4, -0.6, 0.2]]
SUBSAMPLE = {"_pyro_subsample": {-1: torch.tensor([0, 2])}}
DECAY = {"lr": 0.1, "lrd": 0.9, "clip_norm": 4.0}

# Made with pyro-ppl 1.9.2 (pyro.optim.dct_adam.DCTAdam) and torch 2.13 in float64: three steps from zero with
# GRADIENTS, the attributes set on the parameter.
PYRO_NUMBERS = [
    ({}, DECAY, [-0.0869655474, 0.2199473293, 0.1779160875, -0.2350302897]),
    ({"_pyro_dct_dim": -1}, DECAY, [-0.0678767253, 0.3170208033, 0.5143417389, -0.2127973069]),
    (SUBSAMPLE, {"lr": 0.1, "subsample_aware": True}, [-0.094725906, 0.0, 0.2171686007, 0.0]),
    (SUBSAMPLE, {"lr": 0.1}, [-0.094725906, 0.2686102029, 0.2171686007, -0.2878628065]),
]


def run(attributes, options, gradients=GRADIENTS) -> torch.Tensor:
    param = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    for key, value in attributes.items():
        setattr(param, key, value)
    optimizer = DCTAdam([param], **options)
    for gradient in gradients:
        param.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    return param.detach()


@pytest.mark.parametrize(("attributes", "options", "expected"), PYRO_NUMBERS)
def test_numbers_of_pyro(attributes, options, expected):
    assert run(attributes, options).tolist() == pytest.approx(expected, rel=1e-8)


def test_moving_subsample_of_rows_as_pyro():
    # As PYRO_NUMBERS, with lr=0.1, lrd=0.9 and gradients (number + 1) * [[1, 2], [3, 4], [5, 6]].
    param = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    optimizer = DCTAdam([param], lr=0.1, lrd=0.9, subsample_aware=True)
    for number, rows in enumerate([[0, 2], [1, 2], [0, 2]]):
        param._pyro_subsample = {-2: torch.tensor(rows)}
        param.grad = (number + 1) * torch.arange(1.0, 7.0, dtype=torch.float64).reshape(3, 2)
        optimizer.step()
    expected = [-0.1569062084, -0.156906226, -0.0809999957, -0.0809999968, -0.2397654124, -0.2419621078]
    assert param.reshape(-1).tolist() == pytest.approx(expected, rel=1e-8)
    assert optimizer.state[param]["step"][:, 0].tolist() == [2.0, 1.0, 3.0]


def test_without_attributes_it_is_clipped_adam():
    torch.manual_seed(0)
    ours, theirs = (torch.zeros(3, requires_grad=True) for _ in range(2))
    first, second = DCTAdam([ours], **DECAY), ClippedAdam([theirs], **DECAY)
    for _ in range(4):
        ours.grad = 5 * torch.randn(3)
        theirs.grad = ours.grad.clone()
        first.step()
        second.step()
    torch.testing.assert_close(ours, theirs)


def test_a_subsample_that_comes_and_goes_is_a_full_step_when_all_is_there():
    whole = {"lr": 0.1, "subsample_aware": True}
    param = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = DCTAdam([param], **whole)
    for gradient, subsample in zip(GRADIENTS, [None, torch.arange(4), None]):
        param._pyro_subsample = {} if subsample is None else {-1: subsample}
        param.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    torch.testing.assert_close(param.detach(), run({}, whole))


def test_time_dimension_and_subsample_exclude_each_other():
    with pytest.raises(OptionError, match="time dimension"):
        run({"_pyro_dct_dim": -1, **SUBSAMPLE}, {"subsample_aware": True})


def test_closure():
    param = torch.ones(1, requires_grad=True)
    optimizer = DCTAdam([param], lr=0.5)

    def closure():
        loss = (param**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert param.item() == pytest.approx(0.5, rel=1e-5)
