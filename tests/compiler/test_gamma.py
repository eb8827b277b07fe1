"""Gamma variates by key: their distribution, and their derivative."""

from __future__ import annotations

import pytest
import torch

from pyroxene.compiler.gamma import gamma_sample, gamma_slope

ALPHAS = [0.05, 0.7, 1.0, 3.5, 40.0, 1000.0]
COUNT = 20_000


@pytest.mark.parametrize("alpha", ALPHAS)
def test_variates_have_the_distribution(alpha):
    """Kolmogorov's distance of n variates passes 2.7 / sqrt(n) with probability 2 exp(-2 * 2.7^2) = 9e-7."""
    from scipy import stats

    keys = torch.rand(COUNT, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = gamma_sample(torch.tensor(alpha, dtype=torch.float64), keys)
    assert stats.kstest(x.numpy(), stats.gamma(alpha).cdf).statistic < 2.7 / COUNT**0.5
    assert bool((x > 0).all())


def test_neighbouring_keys_are_unrelated():
    """The correlation of n independent pairs has standard error 1 / sqrt(n): 5.2 of them fail with probability 2e-7."""
    keys = torch.arange(COUNT, dtype=torch.float64) * 2.0**-53
    x = gamma_sample(torch.tensor(3.0, dtype=torch.float64), keys)
    assert abs(torch.corrcoef(torch.stack([x[1:], x[:-1]]))[0, 1].item()) < 5.2 / COUNT**0.5
    assert abs(x.mean().item() - 3.0) < 5.2 * (3.0 / COUNT) ** 0.5


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_derivative_keeps_the_distribution_function(alpha):
    """By differences of scipy's quantile function, and near torch's, which is an approximation."""
    from scipy import special

    levels = torch.tensor([0.02, 0.3, 0.5, 0.9, 0.999], dtype=torch.float64)
    x = torch.from_numpy(special.gammaincinv(alpha, levels.numpy()))
    step = 1e-5 * alpha
    ends = [torch.from_numpy(special.gammaincinv(alpha + sign * step, levels.numpy())) for sign in (1, -1)]
    found = gamma_slope(torch.full_like(x, alpha), x)
    seen = x > 1e-200  # below, the quantile itself is rounded away
    torch.testing.assert_close(found[seen], ((ends[0] - ends[1]) / (2 * step))[seen], rtol=1e-5, atol=1e-9)
    near = torch._standard_gamma_grad(torch.full_like(x, alpha), x)
    torch.testing.assert_close(found[seen], near[seen], rtol=5e-3, atol=1e-6)
