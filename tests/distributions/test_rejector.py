"""Rejector and the rejection samplers: densities, samples, and gradients that are right on average."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.rejector import Rejector
from pyroxene.distributions.testing import gof
from pyroxene.distributions.testing.naive_dirichlet import NaiveBeta, NaiveDirichlet
from pyroxene.distributions.testing.rejection_exponential import RejectionExponential
from pyroxene.distributions.testing.rejection_gamma import (
    RejectionGamma,
    RejectionStandardGamma,
    ShapeAugmentedBeta,
    ShapeAugmentedDirichlet,
    ShapeAugmentedGamma,
)
from pyroxene.errors import CannotSampleError, UnsupportedError, UsageError

F64 = torch.float64
FAILURE = 1e-6
SIGMAS = 5.0  # a normal variable lies beyond 5 once in 1.7 million


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def t(*values):
    return torch.tensor(values if len(values) > 1 else values[0], dtype=F64)


CASES = [
    (RejectionExponential(t(2.0), t(0.3)), dist.Exponential(t(2.0))),
    (RejectionStandardGamma(t(1.0)), dist.Gamma(t(1.0), 1.0)),
    (RejectionStandardGamma(t(7.5)), dist.Gamma(t(7.5), 1.0)),
    (RejectionGamma(t(1.5), t(3.0)), dist.Gamma(t(1.5), t(3.0))),
    (ShapeAugmentedGamma(t(0.3), t(2.0)), dist.Gamma(t(0.3), t(2.0))),
    (ShapeAugmentedGamma(t(0.8), t(2.0), boost=3), dist.Gamma(t(0.8), t(2.0))),
    (ShapeAugmentedBeta(t(0.7), t(2.0)), dist.Beta(t(0.7), t(2.0))),
    (NaiveBeta(t(0.7), t(2.0)), dist.Beta(t(0.7), t(2.0))),
    (ShapeAugmentedDirichlet(t(1.0, 2.0, 3.0), boost=2), dist.Dirichlet(t(1.0, 2.0, 3.0))),
    (NaiveDirichlet(t(1.0, 2.0, 3.0)), dist.Dirichlet(t(1.0, 2.0, 3.0))),
]
ALL = pytest.mark.parametrize(("d", "reference"), CASES, ids=lambda d: type(d).__name__)


@ALL
def test_density_and_samples(d, reference):
    x = d.sample((10000,))
    assert reference.support.check(x).all()
    log_prob = d.log_prob(x)
    torch.testing.assert_close(log_prob, reference.log_prob(x), rtol=1e-10, atol=1e-10)
    points = x[:, :2] if x.dim() == 2 else x
    assert gof.auto_goodness_of_fit(points, log_prob.exp()) > FAILURE


@ALL
def test_shapes_expand_and_copies(d, reference):
    larger = d.expand((3, 2))
    assert larger.batch_shape == (3, 2) and larger.rsample((4,)).shape == (4, 3, 2, *d.event_shape)
    x = d.rsample()
    for twin in (copy.deepcopy(d), pickle.loads(pickle.dumps(d)), larger):
        torch.testing.assert_close(twin.log_prob(x), d.log_prob(x).expand(twin.batch_shape))
        assert twin.sample((2,)).shape == (2, *twin.batch_shape, *d.event_shape)


@pytest.mark.parametrize(
    ("make", "start", "derivative"),
    [
        (lambda a: RejectionExponential(a, t(0.4)), 1.5, lambda a: -4 / a**3),  # E x^2 = 2 / a^2
        (RejectionStandardGamma, 1.3, lambda a: 2 * a + 1),  # E x^2 = a (a + 1)
        (lambda a: RejectionGamma(t(2.0), a), 1.5, lambda a: -12 / a**3),
        (lambda a: RejectionGamma(a, t(1.0)), 1.3, lambda a: 2 * a + 1),
        (lambda a: ShapeAugmentedGamma(a, t(1.0), boost=2), 0.6, lambda a: 2 * a + 1),
    ],
)
def test_gradient_estimates_are_unbiased(make, start, derivative):
    n = 50000
    a = torch.full((n,), start, dtype=F64, requires_grad=True)
    d = make(a).expand((n,))
    x = d.rsample()
    parts = d.score_parts(x)
    cost = x**2
    (estimates,) = torch.autograd.grad((cost + cost.detach() * parts.score_function).sum(), a)
    error = estimates.std() / n**0.5
    assert abs(estimates.mean() - derivative(start)) < SIGMAS * error < 0.5


def test_the_score_function_corrects_what_the_path_gets_wrong():
    n = 50000
    factor = torch.full((n,), 0.4, dtype=F64, requires_grad=True)  # of which the density does not depend
    d = RejectionExponential(t(1.5), factor)
    x = d.rsample()
    cost = x**2
    (path,) = torch.autograd.grad(cost.sum(), factor, retain_graph=True)
    (score,) = torch.autograd.grad((cost.detach() * d.score_parts(x).score_function).sum(), factor)
    estimates = path + score
    error = estimates.std() / n**0.5
    assert abs(estimates.mean()) < SIGMAS * error < 0.5 < abs(path.mean())


def test_parts_agree_with_the_density():
    d = RejectionStandardGamma(t(1.5, 4.0))
    x = d.sample((5,))
    parts = d.score_parts(x)
    torch.testing.assert_close(parts.log_prob, d.log_prob(x))
    torch.testing.assert_close(parts.log_prob, d.propose.log_prob(x) + parts.score_function)
    assert parts.entropy_term is parts.log_prob
    assert d.log_prob_accept(t(-1.0)).eq(-torch.inf).all()
    assert (d.log_prob_accept(x) <= 0).all()


def test_events_are_kept_or_drawn_as_a_whole():
    def accept(x):
        return torch.where((x**2).sum(-1) < 1, 0.0, -torch.inf)

    square = dist.Uniform(-torch.ones(2), torch.ones(2)).to_event(1)
    disc = Rejector(square, accept, torch.tensor(torch.pi / 4).log())
    x = disc.sample((4000,))
    assert disc.event_shape == (2,) and ((x**2).sum(-1) < 1).all()
    torch.testing.assert_close(disc.log_prob(x).exp(), torch.full((4000,), 1 / torch.pi))
    assert abs((x**2).sum(-1).mean() - 0.5) < SIGMAS * (1 / 12 / 4000) ** 0.5  # the squared radius is uniform


def test_mistakes():
    with pytest.raises(CannotSampleError, match="accepted none"):
        Rejector(dist.Normal(0.0, 1.0), lambda x: x * torch.nan, 0.0).sample()
    with pytest.raises(UnsupportedError, match="concentration < 1"):
        RejectionStandardGamma(t(0.9))
    d = ShapeAugmentedGamma(t(0.9), t(1.0))
    x = d.rsample()
    assert d.score_parts(x).log_prob == d.score_parts().log_prob
    with pytest.raises(UsageError, match="drawn last"):
        d.score_parts(x.clone())
    with pytest.raises(UsageError, match="positive integer"):
        ShapeAugmentedGamma(t(0.9), t(1.0), boost=0)
