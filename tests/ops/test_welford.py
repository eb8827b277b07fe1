from __future__ import annotations

import pytest
import torch

from pyroxene.ops.welford import WelfordArrowheadCovariance, WelfordCovariance

SAMPLES = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 5) + 3.0
EXPECTED = SAMPLES.T.cov()
REGULARISED = EXPECTED * 20 / 25 + 1e-3 * 5 / 25 * torch.eye(4)


def fed(running):
    for sample in SAMPLES:
        running.update(sample)
    return running


def test_a_diagonal_is_the_variances():
    running = fed(WelfordCovariance())
    assert torch.allclose(running.get_covariance(regularize=False), EXPECTED.diag())
    assert torch.allclose(running.get_covariance(), REGULARISED.diag())


def test_a_dense_one_is_the_covariance():
    running = fed(WelfordCovariance(diagonal=False))
    assert torch.allclose(running.get_covariance(regularize=False), EXPECTED)
    assert torch.allclose(running.get_covariance(), REGULARISED)


@pytest.mark.parametrize("head", [0, 1, 3, 4])
def test_an_arrowhead_is_rows_and_variances(head):
    running = fed(WelfordArrowheadCovariance(head))
    for regularize, expected in ((False, EXPECTED), (True, REGULARISED)):
        top, rest = running.get_covariance(regularize)
        assert torch.allclose(top, expected[:head]) and torch.allclose(rest, expected.diag()[head:])


def test_a_large_mean_costs_no_digits():
    running = WelfordCovariance()
    for sample in SAMPLES:
        running.update(sample + 1e8)
    assert torch.allclose(running.get_covariance(regularize=False), EXPECTED.diag(), rtol=1e-6)


@pytest.mark.parametrize("running", [WelfordCovariance(), WelfordCovariance(False), WelfordArrowheadCovariance(1)])
def test_one_sample_has_no_covariance(running):
    running.update(SAMPLES[0])
    with pytest.raises(RuntimeError, match="so few samples"):
        running.get_covariance()
    fed(running)
    running.reset()
    assert torch.allclose(torch.as_tensor(fed(running).n_samples), torch.tensor(20))
