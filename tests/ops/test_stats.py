"""Statistics of draws: against analysis, and against the numbers of pyro-ppl 1.9.2 stored in expected_stats.json."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from pyroxene.errors import UsageError
from pyroxene.ops import stats
from pyroxene.ops.stats import (
    autocorrelation,
    autocovariance,
    crps_empirical,
    effective_sample_size,
    energy_score_empirical,
    fit_generalized_pareto,
    gelman_rubin,
    hpdi,
    pi,
    quantile,
    resample,
    split_gelman_rubin,
    waic,
    weighed_quantile,
)
from tests.ops.statistics_of_waves import chains, numbers, programs, wave

EXPECTED = json.loads((Path(__file__).parent / "expected_stats.json").read_text(encoding="utf8"))
PROGRAMS = programs(stats)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_numbers_are_pyros(name):
    got = PROGRAMS[name]()
    for part, expected in zip(got, EXPECTED[name]) if isinstance(got, tuple) else [(got, EXPECTED[name])]:
        # float32 constants of Pyro's leave differences of 1e-7
        torch.testing.assert_close(
            torch.as_tensor(part).double(), torch.tensor(expected).double(), rtol=2e-6, atol=2e-6
        )


def test_the_stored_numbers_are_of_these_programs():
    assert set(EXPECTED) == set(PROGRAMS)
    assert numbers((torch.tensor([1.0]), 2)) == [[1.0], 2]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 499, 1000])
def test_autocovariance_is_the_sum_over_pairs(size):
    x = wave(size)
    centred = x - x.mean()
    direct = torch.stack([(centred[lag:] * centred[: size - lag]).sum() / (size - lag) for lag in range(size)])
    torch.testing.assert_close(autocovariance(x), direct, rtol=1e-9, atol=1e-9)


def test_autocorrelation_begins_at_one():
    assert autocorrelation(wave(50, 3))[0].tolist() == pytest.approx([1.0] * 3)


def test_effective_size_of_an_autoregression_is_the_known_one():
    # x' = r x + noise has integrated autocorrelation time (1 + r) / (1 - r); with 4 x 20000 draws the estimate's own
    # spread is about 3 per cent, so that 20 per cent is over six standard deviations: a failure rate below 1e-8
    torch.manual_seed(0)
    r, x = 0.7, torch.zeros(4, 20000, dtype=torch.float64)
    noise = torch.randn(4, 20000, dtype=torch.float64)
    x[:, 0] = noise[:, 0] / math.sqrt(1 - r * r)
    for t in range(1, 20000):
        x[:, t] = r * x[:, t - 1] + noise[:, t]
    assert effective_sample_size(x).item() == pytest.approx(80000 * (1 - r) / (1 + r), rel=0.2)


def test_r_hat_sees_chains_apart_and_chains_that_drift():
    apart = wave(2, 100) + torch.tensor([[0.0], [5.0]], dtype=torch.float64)
    drift = wave(2, 100) + torch.linspace(0, 5, 100, dtype=torch.float64)
    assert gelman_rubin(apart) > 2 and gelman_rubin(drift) < 1.05 and split_gelman_rubin(drift) > 1.5


@pytest.mark.parametrize(
    ("function", "draws"), [(gelman_rubin, 1), (split_gelman_rubin, 3), (effective_sample_size, 1)]
)
def test_too_few_draws_are_an_error(function, draws):
    with pytest.raises(UsageError, match="too few draws"):
        function(wave(4, draws))
    with pytest.raises(UsageError, match="dimension of chains"):
        function(wave(9))


def test_quantiles_are_torchs():
    x, probs = wave(41, 3), torch.tensor([0.0, 0.13, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(quantile(x, probs), torch.quantile(x, probs, dim=0))
    torch.testing.assert_close(quantile(x.T, probs, dim=1), torch.quantile(x, probs, dim=0).T)
    torch.testing.assert_close(
        weighed_quantile(x, probs, torch.full((41,), 3.0, dtype=torch.float64)), quantile(x, probs)
    )


def test_intervals_hold_their_share():
    x = torch.distributions.Exponential(1.0).icdf(torch.linspace(0.0005, 0.9995, 1000))
    low, high = hpdi(x, 0.9).tolist()
    assert low < 0.01 and high == pytest.approx(math.log(10), rel=0.01)  # the narrowest begins at the mode, 0
    assert pi(x, 0.9).tolist() == pytest.approx([-math.log(0.95), -math.log(0.05)], rel=0.02)


def test_hpdi_of_everything_is_the_range():
    assert hpdi(wave(10), 1.0).tolist() == [wave(10).min().item(), wave(10).max().item()]


def test_resampling_picks_draws():
    x = torch.arange(10.0)
    assert sorted(resample(x, 10).tolist()) == x.tolist()
    picked = resample(torch.stack([x, x], 1), 50, replacement=True)
    assert picked.shape == (50, 2) and bool((picked[:, 0] == picked[:, 1]).all())
    assert resample(x.reshape(1, 10), 3, dim=1).shape == (1, 3)
    with pytest.raises(RuntimeError):
        resample(x, 11)


def test_waic_of_one_sure_draw_is_the_deviance():
    log_likelihood = wave(1, 4).expand(20, 4)
    criterion, penalty = waic(log_likelihood)
    assert criterion.item() == pytest.approx(-2 * wave(1, 4).sum().item()) and penalty.item() == pytest.approx(0.0)


def test_pareto_shape_is_found():
    # the shape's standard error is (1 + k) / sqrt(n) = 0.015: 0.1 is over six of them, a failure rate below 1e-9
    torch.manual_seed(0)
    k, sigma = fit_generalized_pareto((torch.rand(10000).pow(-0.5) - 1) / 0.5 * 2.0)
    assert k == pytest.approx(0.5, abs=0.1) and sigma == pytest.approx(2.0, rel=0.1)


def test_crps_is_the_mean_of_distances():
    pred, truth = wave(20, 3), wave(3, a=0.2)
    direct = (pred - truth).abs().mean(0) - (pred - pred[:, None]).abs().mean((0, 1)) / 2
    torch.testing.assert_close(crps_empirical(pred, truth), direct)
    torch.testing.assert_close(energy_score_empirical(pred[:, :1], truth[:1]), direct[0])
    with pytest.raises(UsageError, match="differ in shape"):
        crps_empirical(pred, truth[:2])


def test_single_precision_stays():
    x = chains().float()
    for value in (effective_sample_size(x), split_gelman_rubin(x), hpdi(x[0], 0.5), autocorrelation(x[0])):
        assert value.dtype == torch.float32
