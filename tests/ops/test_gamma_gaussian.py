"""Gamma-Gaussian functions against their densities at values, and integrals over the scale against quadrature."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from torch.distributions import Gamma, Independent, MultivariateNormal, Normal

from pyroxene.errors import UnsupportedError, UsageError
from pyroxene.ops.gamma_gaussian import (
    GammaGaussian,
    gamma_and_mvn_to_gamma_gaussian,
    gamma_gaussian_tensordot,
    matrix_and_mvn_to_gamma_gaussian,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def positive(*shape):
    return torch.rand(shape, dtype=torch.float64) + 0.5


def random_mvn(size, *batch):
    factor = randn(*batch, size, size).tril(-1) + torch.diag_embed(positive(*batch, size))
    return MultivariateNormal(randn(*batch, size), scale_tril=factor)


def random_function(size, *batch):
    return gamma_and_mvn_to_gamma_gaussian(
        Gamma(positive(*batch) + 2, positive(*batch)), random_mvn(size, *batch)
    ) + randn(*batch)


def at_scale(mvn, s):
    return MultivariateNormal(mvn.loc, scale_tril=mvn.scale_tril / s.sqrt()[..., None, None])


def same(x, y):
    x, y = x.expand(x.batch_shape), y.expand(y.batch_shape)
    for name in ("log_normalizer", "info_vec", "precision", "alpha", "beta"):
        torch.testing.assert_close(getattr(x, name), getattr(y, name))


def test_a_joint_density():
    gamma, mvn = Gamma(positive(4), positive(4)), random_mvn(3, 4)
    value, s = randn(4, 3), positive(4)
    f = gamma_and_mvn_to_gamma_gaussian(gamma, mvn)
    assert f.batch_shape == (4,) and f.dim() == 3
    torch.testing.assert_close(f.log_density(value, s), gamma.log_prob(s) + at_scale(mvn, s).log_prob(value))
    over_s = f.event_logsumexp()
    torch.testing.assert_close(over_s.log_density(s), gamma.log_prob(s))
    torch.testing.assert_close(over_s.logsumexp(), torch.zeros(4, dtype=torch.float64))
    with pytest.raises(UsageError, match="a Gamma"):
        gamma_and_mvn_to_gamma_gaussian(Independent(gamma, 1), mvn)


def test_a_conditional_density():
    matrix, mvn = randn(2, 3), random_mvn(3, 4)
    x, y, s = randn(4, 2), randn(4, 3), positive(4)
    f = matrix_and_mvn_to_gamma_gaussian(matrix, mvn)
    expected = at_scale(mvn, s).log_prob(y - x @ matrix)
    torch.testing.assert_close(f.log_density(torch.cat([x, y], -1), s), expected)
    torch.testing.assert_close(f.condition(y).log_density(x, s), expected)
    diagonal = Independent(Normal(mvn.loc, positive(3)), 1)
    dense = MultivariateNormal(mvn.loc, scale_tril=diagonal.base_dist.scale.diag_embed())
    same(matrix_and_mvn_to_gamma_gaussian(matrix, diagonal), matrix_and_mvn_to_gamma_gaussian(matrix, dense))


def test_rearranging():
    f, value, s = random_function(3, 4, 5), randn(4, 5, 3), positive(4, 5)
    density = f.log_density(value, s)
    torch.testing.assert_close(f[2].log_density(value[2], s[2]), density[2])
    torch.testing.assert_close(f.reshape((20,)).log_density(value.reshape(20, 3), s.reshape(20)), density.reshape(20))
    same(GammaGaussian.cat([f[:, :2], f[:, 2:]], -1), f)
    permutation = torch.tensor([2, 0, 1])
    torch.testing.assert_close(f.event_permute(permutation).log_density(value[..., permutation], s), density)
    padded = torch.cat([randn(4, 5, 1), value, randn(4, 5, 2)], -1)
    torch.testing.assert_close(f.event_pad(left=1, right=2).log_density(padded, s), density)
    torch.testing.assert_close((f + f).log_density(value, s), 2 * density)
    with pytest.raises(UsageError, match="Unsupported type"):
        f + "1"


def test_integrating_out():
    gamma, mvn = Gamma(positive(4), positive(4)), random_mvn(3, 4)
    f, value, s = gamma_and_mvn_to_gamma_gaussian(gamma, mvn), randn(4, 3), positive(4)
    for kept, function in ((slice(1), f.marginalize(right=2)), (slice(2, 3), f.marginalize(left=2))):
        marginal = MultivariateNormal(mvn.loc[..., kept], mvn.covariance_matrix[..., kept, kept] / s[:, None, None])
        expected = gamma.log_prob(s) + marginal.log_prob(value[..., kept])
        torch.testing.assert_close(function.log_density(value[..., kept], s), expected)
    with pytest.raises(UnsupportedError, match="one side"):
        f.marginalize(1, 1)


def test_compound_is_student_t():
    half, mvn = positive() + 1, random_mvn(3)
    df, loc, scale_tril = gamma_and_mvn_to_gamma_gaussian(Gamma(half, half), mvn).compound()
    torch.testing.assert_close(df, 2 * half)
    value = randn(3)
    reference = scipy.stats.multivariate_t(loc.numpy(), (scale_tril @ scale_tril.mT).numpy(), df.item())
    s = torch.linspace(0, 60, 200_001, dtype=torch.float64)[1:]
    joint = Gamma(half, half).log_prob(s) + at_scale(mvn.expand((len(s),)), s).log_prob(value)
    torch.testing.assert_close(joint.exp().sum() * s[0], torch.tensor(reference.pdf(value.numpy())), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_tensordot_multiplies_and_integrates(dims):
    x, y = random_function(2 + dims, 4, 1), random_function(dims + 1, 3)
    joint = x.event_pad(right=1) + y.event_pad(left=2)
    expected = joint.event_permute(torch.tensor([0, 1, 2 + dims, *range(2, 2 + dims)])).marginalize(right=dims)
    same(gamma_gaussian_tensordot(x, y, dims), expected)
