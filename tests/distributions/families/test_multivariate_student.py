"""MultivariateStudentT beyond the contract."""

from __future__ import annotations

import mpmath as mp
import pytest
import scipy.stats
import torch

from pyroxene.distributions.families.multivariate_student import MultivariateStudentT
from pyroxene.errors import ParameterError, ShapeError

TRIL = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]], dtype=torch.float64)
LOC = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64)


def make(df, loc=LOC, tril=TRIL):
    return MultivariateStudentT(torch.tensor(df, dtype=torch.float64), loc, tril)


@pytest.mark.parametrize("df", [0.3, 1.0, 3.3, 100.0])
def test_density_is_scipys(df):
    torch.manual_seed(0)
    value = torch.randn(20, 3, dtype=torch.float64) * 10
    expected = scipy.stats.multivariate_t(LOC, TRIL @ TRIL.T, df=df).logpdf(value)
    torch.testing.assert_close(make(df).log_prob(value), torch.as_tensor(expected), rtol=1e-12, atol=0)


@pytest.mark.parametrize("df", [1e-3, 1.0, 50.0, 70.0, 1e4, 1e8, 1e13])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_density_for_any_degrees_of_freedom(df, size):
    loc, eye = torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64)
    with mp.workdps(50):
        nu, m = mp.mpf(df), size * mp.mpf(0.7) ** 2
        expected = mp.loggamma((nu + size) / 2) - mp.loggamma(nu / 2) - mp.mpf(size) / 2 * mp.log(nu * mp.pi)
        expected -= (nu + size) / 2 * mp.log1p(m / nu)
    got = float(make(df, loc, eye).log_prob(torch.full((size,), 0.7, dtype=torch.float64)))
    assert abs(got - expected) <= 1e-13 * abs(expected)


def test_one_entry_is_a_student_variable_and_samples_follow_it():
    torch.manual_seed(0)
    sample = make(3.0).sample((20000,))
    for place in range(3):
        scale = TRIL[place].norm()
        marginal = scipy.stats.t(3.0, LOC[place], scale)
        assert scipy.stats.kstest(sample[:, place], marginal.cdf).pvalue > 1e-7
    # the correlation of ranks: sin of the angle, as for every elliptical distribution
    tau = scipy.stats.kendalltau(sample[:2000, 0], sample[:2000, 1]).statistic
    assert abs(tau - 2 / torch.pi * torch.asin(TRIL[1, 0] / TRIL[1].norm())) < 0.08  # 5.3 standard errors of 0.015


def test_moments_exist_as_degrees_of_freedom_allow():
    assert make(1.0).mean.isnan().all() and torch.equal(make(1.5).mean, LOC)
    assert make(1.0).variance.isnan().all() and make(2.0).variance.isinf().all()
    torch.testing.assert_close(make(5.0).variance, 5 / 3 * (TRIL @ TRIL.T).diagonal())
    torch.testing.assert_close(make(5.0).covariance_matrix @ make(5.0).precision_matrix, torch.eye(3).double())


def test_gradients_of_samples():
    def draw(df, loc, below):
        torch.manual_seed(3)
        tril = torch.stack([torch.stack([below.exp(), below * 0]), torch.stack([below, below.exp()])])
        return MultivariateStudentT(torch.ones(()).double() * 4.0, loc, tril).rsample((3,)) + 0 * df

    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (4.0, [0.1, 0.2], 0.3)]
    assert torch.autograd.gradcheck(draw, leaves)
    df = torch.tensor(4.0, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(0)
    sample = MultivariateStudentT(df, LOC, TRIL).rsample((100000,))
    gradient = torch.autograd.grad((sample - LOC).abs().sum(-1).mean(), df)[0]
    h = 1e-3  # the mean absolute value of a Student variable has a closed form

    def mean(nu):
        size = 2 * (nu / torch.pi) ** 0.5 * scipy.special.gamma((nu + 1) / 2) / (scipy.special.gamma(nu / 2) * (nu - 1))
        return size * TRIL.norm(dim=-1).sum()

    expected = (mean(4 + h) - mean(4 - h)) / (2 * h)
    assert abs(gradient - expected) < 0.02  # 6 standard errors of 0.003


def test_broadcasting_and_mistakes():
    d = MultivariateStudentT(torch.full((2, 1), 5.0), torch.zeros(4, 3), TRIL.float())
    assert d.batch_shape == (2, 4) and d.scale_tril.shape == (2, 4, 3, 3) and d.mean.shape == (2, 4, 3)
    with pytest.raises(ShapeError, match="does not fit"):
        MultivariateStudentT(5.0, torch.zeros(2), torch.eye(3))
    with pytest.raises(ParameterError):
        MultivariateStudentT(-5.0, torch.zeros(2), torch.eye(2))
