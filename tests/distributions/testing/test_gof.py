"""Goodness-of-fit tests: right densities pass, wrong ones fail. Seeds are fixed; each bound fails 1 seed in 1e6."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.testing import gof
from pyroxene.distributions.testing.special import chi2sf
from pyroxene.errors import ShapeError, UsageError

FAILURE = 1e-6


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


@pytest.mark.parametrize("x", [-1.0, 0.0, 0.3, 5.0, 300.0])
@pytest.mark.parametrize("s", [1, 2, 17])
def test_chi2sf_is_scipys(x, s):
    assert chi2sf(x, s) == pytest.approx(scipy.stats.chi2.sf(x, s), rel=1e-12)
    assert type(chi2sf(torch.tensor(1.0), s)) is float


UNIVARIATE = [
    (dist.Normal(0.0, 1.0), dist.Normal(0.0, 1.1)),
    (dist.Exponential(2.0), dist.Exponential(2.2)),
    (dist.Cauchy(0.0, 1.0), dist.Cauchy(0.2, 1.0)),
    (dist.Beta(0.7, 2.0), dist.Beta(0.9, 2.0)),
    (dist.Poisson(3.0), dist.Poisson(3.3)),
    (dist.Categorical(torch.tensor([0.2, 0.3, 0.5])), dist.Categorical(torch.tensor([0.25, 0.25, 0.5]))),
    (dist.Dirichlet(torch.ones(3)), dist.Dirichlet(torch.tensor([1.0, 1.0, 1.4]))),
    (dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), dist.Normal(torch.zeros(2), 1.2).to_event(1)),
]


@pytest.mark.parametrize(("right", "wrong"), UNIVARIATE, ids=lambda d: type(d).__name__)
def test_the_right_density_passes_and_a_near_one_fails(right, wrong):
    x = right.sample((20000,))
    points = x[:, :2] if isinstance(right, dist.Dirichlet) else x  # its density is by all coordinates but the last
    points = points.double()
    assert gof.auto_goodness_of_fit(points, right.log_prob(x).exp()) > FAILURE
    assert gof.auto_goodness_of_fit(points, wrong.log_prob(x).exp()) < FAILURE


def test_a_density_that_is_not_normalised_fails():
    x = torch.randn(20000)
    p = dist.Normal(0.0, 1.0).log_prob(x).exp()
    assert gof.density_goodness_of_fit(x, p) > FAILURE > gof.density_goodness_of_fit(x, 0.9 * p)
    v = torch.randn(20000, 2)
    p = dist.Normal(0.0, 1.0).log_prob(v).sum(-1).exp()
    assert gof.vector_density_goodness_of_fit(v, p) > FAILURE > gof.vector_density_goodness_of_fit(v, 0.7 * p)


def test_multinomial_is_pearsons_where_no_bin_is_rare():
    probs, counts = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([110, 190, 310, 390])
    expected = scipy.stats.chisquare(counts.numpy(), 1000 * probs.double().numpy() / float(probs.double().sum())).pvalue
    assert gof.multinomial_goodness_of_fit(probs, counts) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("probs", "counts", "total", "bound"),
    [
        ([0.5, 0.5], [500, 500], 1000, 0.99),
        ([1.0], [200], None, 1.0),
        ([0.2, 0.3], [200, 300], 1000, 0.99),  # the rest of the mass is a bin
        ([0.998, 0.001, 0.001], [998, 1, 1], None, 0.99),  # rare bins are pooled
    ],
)
def test_multinomial_accepts(probs, counts, total, bound):
    p = gof.multinomial_goodness_of_fit(torch.tensor(probs), torch.tensor(counts), total_count=total)
    assert p >= bound


@pytest.mark.parametrize(
    ("probs", "counts", "total"),
    [
        ([1.0, 0.0], [999, 1], None),  # an impossible bin was hit
        ([0.2, 0.3], [400, 600], 1000),  # the rest of the mass was not
        ([0.5, 0.5], [300, 700], None),
    ],
)
def test_multinomial_refuses(probs, counts, total):
    assert gof.multinomial_goodness_of_fit(torch.tensor(probs), torch.tensor(counts), total_count=total) < FAILURE


def test_p_values_are_no_smaller_than_uniform_under_the_hypothesis():
    v = torch.randn(200, 1000, 2, dtype=torch.float64)
    p = dist.Normal(0.0, 1.0).log_prob(v).sum(-1).exp()
    values = [gof.vector_density_goodness_of_fit(a, b) for a, b in zip(v, p)]
    assert scipy.stats.kstest(values, "uniform", alternative="greater").pvalue > FAILURE
    x = torch.randn(200, 1000, dtype=torch.float64)
    p = dist.Normal(0.0, 1.0).log_prob(x).exp()
    values = [gof.density_goodness_of_fit(a, b) for a, b in zip(x, p)]
    assert scipy.stats.kstest(values, "uniform", alternative="greater").pvalue > FAILURE
    counts = dist.Multinomial(1000, torch.ones(8)).sample((500,))
    values = [gof.multinomial_goodness_of_fit(torch.full((8,), 1 / 8), each) for each in counts]
    assert scipy.stats.kstest(values, "uniform").pvalue > FAILURE


def test_one_dimensional_tests():
    u = torch.rand(5000)
    assert gof.unif01_goodness_of_fit(u) > FAILURE > gof.unif01_goodness_of_fit(u**1.2)
    e = -u.log()
    assert gof.exp_goodness_of_fit(e) > FAILURE > gof.exp_goodness_of_fit(1.2 * e)
    assert type(gof.exp_goodness_of_fit(e)) is float


def test_plots_are_printed(capsys):
    gof.unif01_goodness_of_fit(torch.rand(200), plot=True)
    gof.multinomial_goodness_of_fit(torch.ones(2) / 2, torch.tensor([3, 6]), plot=True)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 11 + 3 and out[-1].count("#") == 40 and out[-2].count("#") == 20


def test_mistakes():
    few = torch.rand(20)
    for test in (gof.unif01_goodness_of_fit, gof.exp_goodness_of_fit):
        with pytest.raises(gof.InvalidTest, match="use more samples"):
            test(few)
    for samples in (few, torch.rand(500, 2)):
        with pytest.raises(gof.InvalidTest, match="use more samples"):
            gof.auto_goodness_of_fit(samples, torch.ones(len(samples)))
    with pytest.raises(UsageError, match="between 0 and 1"):
        gof.unif01_goodness_of_fit(torch.full((200,), math.nan))
    with pytest.raises(ShapeError, match="one density"):
        gof.density_goodness_of_fit(torch.rand(200), torch.ones(100))
    with pytest.raises(ShapeError, match="one probability"):
        gof.multinomial_goodness_of_fit(torch.ones(2), torch.ones(3))
    assert issubclass(gof.InvalidTest, ValueError)
