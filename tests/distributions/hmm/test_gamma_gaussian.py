"""GammaGaussianHMM against the joint multivariate Student's t, and against integrals over the scale."""

from __future__ import annotations

import pytest
import scipy.stats
import torch

import pyroxene.distributions as dist
from pyroxene.distributions.hmm import GammaGaussianHMM, GaussianHMM, _sequential_gamma_gaussian_tensordot
from pyroxene.errors import ShapeError, UsageError
from pyroxene.ops.gamma_gaussian import gamma_gaussian_tensordot, matrix_and_mvn_to_gamma_gaussian
from tests.distributions.hmm.systems import (
    HIDDEN,
    SEEN,
    SHAPES,
    STEPS,
    dense,
    diagonal,
    joint_normal,
    linear_system,
    randn,
)

SYSTEMS = pytest.mark.parametrize("shapes", list(SHAPES))
NUMBERS = STEPS * SEEN


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def gamma(a, b):
    return dist.Gamma(torch.as_tensor(a, dtype=torch.float64), torch.as_tensor(b, dtype=torch.float64))


@pytest.mark.parametrize("noise", [dense, diagonal])
@SYSTEMS
def test_density_is_the_joint_student_t(shapes, noise):
    system = linear_system(shapes, noise)
    d = GammaGaussianHMM(gamma(2.5, 1.5), **system)
    loc, covariance = joint_normal(**system, batch=d.batch_shape)
    value = randn(*d.batch_shape, STEPS, SEEN)
    shape = covariance[..., :NUMBERS, :NUMBERS] * 1.5 / 2.5
    rows = zip(*(x.reshape(-1, *x.shape[len(d.batch_shape) :]) for x in (loc[..., :NUMBERS], shape, value.flatten(-2))))
    expected = [scipy.stats.multivariate_t(m.numpy(), s.numpy(), 5.0).logpdf(x.numpy()) for m, s, x in rows]
    got = d.log_prob(value)
    torch.testing.assert_close(got, torch.tensor(expected).reshape(d.batch_shape), rtol=1e-10, atol=1e-10)


def test_density_is_an_integral_over_the_scale():
    init, trans, shock, obs, error, _ = linear_system("homogeneous", dense).values()
    scale = gamma(3.0, 2.0)
    s = (torch.arange(4000, dtype=torch.float64) + 0.5) / 400
    root = s.sqrt().reciprocal()[:, None, None]

    def scaled(d):
        return dist.MultivariateNormal(d.loc, scale_tril=d.scale_tril * root)

    def in_time(d):
        return dist.MultivariateNormal(d.loc.unsqueeze(-2), scale_tril=d.scale_tril.unsqueeze(-3))

    given = GaussianHMM(scaled(init), trans, in_time(scaled(shock)), obs, in_time(scaled(error)))
    value = randn(3, SEEN)
    expected = (scale.log_prob(s) + given.log_prob(value)).logsumexp(0) - torch.tensor(400.0).double().log()
    d = GammaGaussianHMM(scale, init, trans, shock, obs, error)
    torch.testing.assert_close(d.log_prob(value), expected, rtol=1e-6, atol=0)


@SYSTEMS
def test_a_filter_is_where_to_go_on(shapes):
    """The density of a whole is that of a part, times that of the rest from the filter on."""
    init, trans, shock, obs, error, duration = linear_system(shapes, dense).values()
    scale = gamma(3.0, 2.0)
    d = GammaGaussianHMM(scale, init, trans, shock, obs, error, duration=duration)
    value = randn(*d.batch_shape, STEPS, SEEN)
    shape = (*d.batch_shape, STEPS)
    moves, views = trans.expand(*shape, HIDDEN, HIDDEN), obs.expand(*shape, HIDDEN, SEEN)
    shocks, errors = (x.expand(shape) for x in (shock, error))
    cut = 2

    def part(scale, init, steps):
        return GammaGaussianHMM(
            scale, init, moves[..., steps, :, :], some(shocks, steps), views[..., steps, :, :], some(errors, steps)
        )

    first = part(scale, init, slice(cut))
    rest = part(*first.filter(value[..., :cut, :]), slice(cut, None))
    total = first.log_prob(value[..., :cut, :]) + rest.log_prob(value[..., cut:, :])
    torch.testing.assert_close(total, d.log_prob(value), rtol=1e-9, atol=1e-9)


def some(d, steps):
    return dist.MultivariateNormal(d.loc[..., steps, :], scale_tril=d.scale_tril[..., steps, :, :])


@pytest.mark.parametrize("shapes", ["homogeneous", "mixed"])
def test_draws_are_student_t(shapes):
    """Each series' squared distance over its size is F distributed: a Kolmogorov-Smirnov test at 1e-7."""
    system = linear_system(shapes, dense)
    d = GammaGaussianHMM(gamma(2.5, 1.5), **system)
    loc, covariance = joint_normal(**system, batch=d.batch_shape)
    drawn = d.rsample((4000,))
    assert drawn.shape == (4000, *d.batch_shape, STEPS, SEEN)
    factor = torch.linalg.cholesky(covariance[..., :NUMBERS, :NUMBERS] * 1.5 / 2.5)
    centred = (drawn.flatten(-2) - loc[..., :NUMBERS]).unsqueeze(-1)
    white = torch.linalg.solve_triangular(factor, centred, upper=False).squeeze(-1)
    ratio = white.square().mean(-1).reshape(4000, -1)
    for column in ratio.T:
        assert scipy.stats.kstest(column.numpy(), scipy.stats.f(NUMBERS, 5.0).cdf).pvalue > 1e-7
    direction = white / white.square().mean(-1, True).sqrt()  # uniform on a sphere
    assert direction.mean(0).abs().max() < 6 / 4000**0.5
    second = (direction.unsqueeze(-1) * direction.unsqueeze(-2)).mean(0)
    assert (second - torch.eye(NUMBERS, dtype=torch.float64)).abs().max() < 6 * (2 / 4000) ** 0.5


def test_gradients_of_density_and_draws():
    def of(concentration, rate, shock, trans, run):
        noise = dist.Normal(0.0, shock.exp()).to_event(1)
        one = dist.Normal(torch.zeros(1, dtype=torch.float64), 1.0).to_event(1)
        scale = dist.Gamma(concentration.exp(), rate.exp())
        return run(GammaGaussianHMM(scale, noise, trans, noise, randn(2, 1) * 0 + 1, one, duration=4))

    def draw(d):
        torch.manual_seed(0)
        return d.rsample()

    leaves = [x.requires_grad_() for x in (randn(), randn(), randn(2), randn(2, 2))]
    value = randn(4, 1)
    assert torch.autograd.gradcheck(lambda *args: of(*args, lambda d: d.log_prob(value)), leaves)
    rest = leaves[1:]  # torch draws a gamma by rejection: its path jumps as the concentration moves
    fixed = leaves[0].detach()
    assert torch.autograd.gradcheck(lambda *args: of(fixed, *args, draw), rest)


def test_expand_and_length():
    parts = (gamma([2.0, 3.0], 1.0), *list(linear_system("homogeneous", dense).values())[:-1])
    d = GammaGaussianHMM(*parts)
    assert d.batch_shape == (2,) and d.event_shape == (1, SEEN) and d.duration is None
    value = randn(7, SEEN)
    expanded = d.expand((4, 2))
    assert type(expanded) is GammaGaussianHMM
    torch.testing.assert_close(expanded.log_prob(value), d.log_prob(value).expand(4, 2))
    scale, state = expanded.filter(value)
    assert scale.batch_shape == state.batch_shape == (4, 2)
    with pytest.raises(UsageError, match="duration="):
        d.sample()
    assert GammaGaussianHMM(*parts, duration=6).expand((4, 2)).sample((3,)).shape == (3, 4, 2, 6, SEEN)


def test_what_does_not_fit_is_refused():
    system = linear_system("homogeneous", dense)
    with pytest.raises(UsageError, match="a Gamma"):
        GammaGaussianHMM(dist.LogNormal(0.0, 1.0), **system)
    with pytest.raises(ShapeError):
        GammaGaussianHMM(gamma(1.0, 1.0), **{**system, "initial_dist": dense(3)})


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_product_along_time_is_the_product_in_order(steps):
    chain = matrix_and_mvn_to_gamma_gaussian(randn(3, steps, 2, 2), dense(2, steps))
    chain = chain + chain.event_permute(torch.tensor([2, 3, 0, 1]))
    expected = chain[..., 0]
    for t in range(1, steps):
        expected = gamma_gaussian_tensordot(expected, chain[..., t], 2)
    got = _sequential_gamma_gaussian_tensordot(chain)
    for name in ("log_normalizer", "info_vec", "precision", "alpha", "beta"):
        torch.testing.assert_close(getattr(got, name), getattr(expected, name))
