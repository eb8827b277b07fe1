"""MixtureGeneral and Mixture: densities, tails, moments and samples against sums of those of the components."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st
import torch

import pyroxene.distributions as dist
from pyroxene.distributions import constraints
from pyroxene.distributions.families.mixture_general import Mixture, MixtureGeneral
from pyroxene.errors import ParameterError, ShapeError, SupportError

F64 = torch.float64
FAILURE = 1e-6


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def number(value):
    return torch.tensor(value, dtype=F64)


def weights(*probs):
    return dist.Categorical(number(list(probs)))


def blend(**kwargs):
    components = [dist.Normal(number(0.5), number(2.0)), dist.Cauchy(number(-1.0), number(0.5))]
    return MixtureGeneral(weights(0.3, 0.7), components, **kwargs)


def halves(**kwargs):
    """Two components over different half-lines, and one over all reals."""
    components = [
        dist.Gamma(number(2.0), number(1.5)),
        dist.Normal(number(0.0), number(1.0)),
        dist.RightTruncatedDistribution(dist.Laplace(number(0.0), number(1.0)), number(0.0)),
    ]
    return MixtureGeneral(weights(0.3, 0.3, 0.4), components, support=constraints.real, **kwargs)


def test_density_and_tails_are_the_weighted_sums():
    d, x = blend(), number([-1e3, -3.0, 0.0, 0.7, 4.0, 1e3])
    first, second = st.norm(0.5, 2.0), st.cauchy(-1.0, 0.5)
    with np.errstate(divide="ignore"):
        for got, name in ((d.log_prob, "logpdf"), (d.log_cdf, "logcdf"), (d.log_survival, "logsf")):
            parts = [np.log(w) + getattr(s, name)(x.numpy()) for w, s in ((0.3, first), (0.7, second))]
            torch.testing.assert_close(got(x), torch.as_tensor(np.logaddexp(*parts)), rtol=1e-10, atol=0)
    p = number([1e-9, 0.2, 0.5, 0.999])
    torch.testing.assert_close(d.cdf(d.icdf(p)), p, rtol=1e-10, atol=0)


def test_moments():
    components = [dist.Normal(number(0.5), number(2.0)), dist.Laplace(number(-1.0), number(0.5))]
    d = MixtureGeneral(weights(0.3, 0.7), components)
    mean = 0.3 * 0.5 - 0.7
    second = 0.3 * (4 + 0.25) + 0.7 * (2 * 0.25 + 1)
    torch.testing.assert_close(d.mean, number(mean))
    torch.testing.assert_close(d.variance, number(second - mean**2))


def test_a_component_gives_nothing_outside_of_its_support():
    d = halves(validate_args=True)
    x = number([-2.0, 1.5]).requires_grad_()
    expected = np.log(
        [
            0.3 * st.norm.pdf(-2.0) + 0.4 * st.expon.pdf(2.0),
            0.3 * st.gamma(2.0, scale=1 / 1.5).pdf(1.5) + 0.3 * st.norm.pdf(1.5),
        ]
    )
    got = d.log_prob(x)
    torch.testing.assert_close(got, torch.as_tensor(expected), rtol=1e-10, atol=0)
    assert torch.autograd.grad(got.sum(), x)[0].isfinite().all()
    nodes, measure = (torch.as_tensor(a) for a in np.polynomial.legendre.leggauss(200))
    mass = sum((d.log_prob(20 * s * (nodes + 1)).exp() * measure).sum() * 20 for s in (-1, 1))
    torch.testing.assert_close(mass, number(1.0), rtol=1e-9, atol=0)
    torch.testing.assert_close(d.cdf(number(0.0)), number(0.3 / 2 + 0.4))


def test_nothing_outside_of_every_support():
    components = [dist.Gamma(number(2.0), number(1.5)), dist.HalfNormal(number(1.0))]
    d = MixtureGeneral(weights(0.5, 0.5), components, support=constraints.positive, validate_args=False)
    x = number([-1.0, 1.0]).requires_grad_()
    for function in (d.log_prob, d.log_cdf):
        got = function(x)
        assert got[0] == -torch.inf and got[1].isfinite()
        assert torch.autograd.grad(got[1], x)[0].isfinite().all()
    assert d.log_survival(x)[0] == 0


def test_component_log_probs_give_the_probability_of_each_component():
    d, x = blend(), number([[0.0], [3.0]])
    parts = d.component_log_probs(x)
    assert parts.shape == (2, 1, 2)
    torch.testing.assert_close(parts.logsumexp(-1), d.log_prob(x))
    direct = 0.3 * st.norm(0.5, 2.0).pdf(3.0)
    torch.testing.assert_close(parts[1, 0, 0].exp(), number(direct))


@pytest.mark.parametrize("d", [blend(), halves()], ids=["one support", "several"])
def test_samples_fit(d):
    value = d.sample((20_000,))
    assert st.kstest(d.cdf(value).numpy(), "uniform").pvalue > FAILURE


def test_counts():
    d = MixtureGeneral(weights(0.5, 0.5), [dist.Poisson(number(2.0)), dist.Geometric(number(0.3))])
    k = torch.arange(200, dtype=F64)
    torch.testing.assert_close(d.log_prob(k).logsumexp(0), number(0.0), atol=1e-10, rtol=0)
    assert d.support.is_discrete
    torch.testing.assert_close(d.cdf(number(3.0)), d.log_prob(k[:4]).exp().sum())
    counts = torch.bincount(d.sample((20_000,)).long(), minlength=12)[:12]
    chances = d.log_prob(k[:12]).exp()
    z = (counts - 20_000 * chances) / (20_000 * chances * (1 - chances)).sqrt()
    assert (z.abs() < 6).all()


def test_bounds_that_are_equal_are_one_support():
    d = MixtureGeneral(weights(0.5, 0.5), [dist.Uniform(number(0.0), number(2.0))] * 2)
    other = [dist.Uniform(number(0.0), number(2.0)), dist.Uniform(number(0.0), number(2.0))]
    assert MixtureGeneral(weights(0.5, 0.5), other).log_prob(number(1.0)) == d.log_prob(number(1.0))


def test_vectors_and_batches():
    loc = torch.randn(4, 3, dtype=F64)
    components = [
        dist.Normal(loc, 1.0).to_event(1),
        dist.MultivariateNormal(torch.zeros(3, dtype=F64), torch.eye(3).double()),
    ]
    probs = torch.tensor([0.2, 0.8], dtype=F64)
    d = MixtureGeneral(dist.Categorical(probs.expand(5, 1, 2)), components, support=constraints.real_vector)
    assert d.batch_shape == (5, 4) and d.event_shape == (3,)
    value = d.sample((2,))
    assert value.shape == (2, 5, 4, 3)
    parts = torch.stack([c.log_prob(value) for c in components], -1) + probs.log()
    torch.testing.assert_close(d.log_prob(value), parts.logsumexp(-1))
    torch.testing.assert_close(d.mean, (0.2 * loc).expand(5, 4, 3))
    torch.testing.assert_close(d.variance, (1 + 0.16 * loc**2).expand(5, 4, 3))


def test_mixture_chooses_the_class():
    loc = number([0.0, 1.0])
    same = Mixture(weights(0.2, 0.8), dist.Normal(loc, 1.0))
    general = Mixture(weights(0.2, 0.8), [dist.Normal(loc[0], 1.0), dist.Normal(loc[1], 1.0)])
    assert isinstance(same, dist.MixtureSameFamily) and isinstance(general, MixtureGeneral)
    torch.testing.assert_close(same.log_prob(number(0.3)), general.log_prob(number(0.3)))


def test_gradients_reach_weights_and_parameters():
    def density(logits, loc, x):
        components = [dist.Normal(loc, 1.0), dist.Gumbel(loc, 2.0)]
        return MixtureGeneral(dist.Categorical(logits=logits), components, validate_args=False).log_prob(x)

    inputs = number([0.2, -0.4]), number(0.3), number([-2.0, 0.1, 5.0])
    assert torch.autograd.gradcheck(density, tuple(x.requires_grad_() for x in inputs))


def test_mistakes():
    normal, gamma = dist.Normal(0.0, 1.0), dist.Gamma(1.0, 1.0)
    with pytest.raises(ParameterError, match="different supports"):
        MixtureGeneral(weights(0.5, 0.5), [normal, gamma])
    with pytest.raises(ParameterError, match="for each category"):
        MixtureGeneral(weights(0.5, 0.5), [normal])
    with pytest.raises(ParameterError, match="must be a Categorical"):
        MixtureGeneral(number([0.5, 0.5]), [normal, normal])
    with pytest.raises(ParameterError, match="discrete and continuous"):
        MixtureGeneral(weights(0.5, 0.5), [normal, dist.Poisson(1.0)], support=constraints.real)
    with pytest.raises(ShapeError, match="event_shape disagree"):
        MixtureGeneral(weights(0.5, 0.5), [normal, dist.Normal(torch.zeros(2), 1.0).to_event(1)])
    with pytest.raises(SupportError):
        MixtureGeneral(weights(0.5, 0.5), [gamma, gamma], validate_args=True).log_prob(number(-1.0))
