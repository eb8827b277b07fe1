"""Normal distributions with structure against dense ones: sums of zero, matrices, grids, rings."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st
import torch
import torch.distributions as torchdist

from pyroxene.distributions import kl_divergence
from pyroxene.distributions import structured_kl as _rows
from pyroxene.distributions.families.circulant_normal import CirculantNormal
from pyroxene.distributions.families.kronecker_normal import KroneckerNormal
from pyroxene.distributions.families.matrix_normal import MatrixNormal
from pyroxene.distributions.families.zero_sum_normal import ZeroSumNormal
from pyroxene.distributions.transforms.zero_sum import ZeroSumTransform
from pyroxene.errors import ParameterError, ShapeError, SupportError

F64 = torch.float64
EXACT = {"rtol": 1e-10, "atol": 1e-10}
DRAWS = 40_000
assert _rows is not None  # imported for its effect


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def tril(size, batch=()):
    return torch.randn((*batch, size, size), dtype=F64).tril(-1) + torch.diag_embed(
        torch.rand((*batch, size), dtype=F64) + 0.5
    )


def agree_in_moments(d, covariance):
    """Compare means and covariances of draws, flattened, within 6 standard errors: below 1e-7 for each entry."""
    draws = d.sample((DRAWS,)).flatten(1)
    mean, variance = d.mean.flatten(), d.variance.flatten()
    torch.testing.assert_close(covariance.diagonal(), variance, **EXACT)
    assert ((draws.mean(0) - mean).abs() <= 6 * (variance / DRAWS).sqrt()).all()
    centered = draws - mean
    products = centered.unsqueeze(-1) * centered.unsqueeze(-2)
    assert ((products.mean(0) - covariance).abs() <= 6 * products.std(0) / DRAWS**0.5 + 1e-12).all()


@pytest.mark.parametrize("sizes", [(2,), (5,), (3, 4), (2, 3, 4)], ids=str)
def test_zero_sum_is_a_normal_of_the_free_dimensions(sizes):
    d = ZeroSumNormal(torch.tensor(1.7, dtype=F64), sizes)
    value = d.sample((6,))
    for dim in range(-len(sizes), 0):
        torch.testing.assert_close(value.sum(dim), torch.zeros_like(value.sum(dim)), rtol=0, atol=1e-13)
    free = ZeroSumTransform(len(sizes)).inv(value)
    expected = torchdist.Normal(torch.tensor(0.0, dtype=F64), 1.7).log_prob(free).flatten(1).sum(-1)
    torch.testing.assert_close(d.log_prob(value), expected, **EXACT)
    entropy = torchdist.Normal(torch.zeros(free.shape[1:], dtype=F64), 1.7).entropy().sum()
    torch.testing.assert_close(d.entropy(), entropy, **EXACT)


def test_zero_sum_agrees_with_numpyro():
    """Values of numpyro 0.22.0: ZeroSumNormal(1.5, (4,)) and ZeroSumNormal(1.5, (2, 3))."""
    one = ZeroSumNormal(torch.tensor(1.5, dtype=F64), (4,))
    assert one.log_prob(torch.tensor([0.5, -1.0, 1.5, -1.0], dtype=F64)).item() == pytest.approx(-4.973210923938511)
    two = ZeroSumNormal(torch.tensor(1.5, dtype=F64), (2, 3))
    value = torch.tensor([[0.5, -1.0, 0.5], [-0.5, 1.0, -0.5]], dtype=F64)
    assert two.log_prob(value).item() == pytest.approx(-3.3154739492923406)


def test_zero_sum_moments():
    centre = [torch.eye(n, dtype=F64) - 1 / n for n in (2, 3)]
    agree_in_moments(ZeroSumNormal(torch.tensor(2.0, dtype=F64), (2, 3)), 4 * torch.kron(*centre))


def test_matrix_normal_is_scipys_and_has_its_moments():
    loc, row, column = torch.randn(2, 3, dtype=F64), tril(2), tril(3)
    d = MatrixNormal(loc, row, column)
    value = d.sample((5,)) * torch.tensor([1.0, 1.0, 100.0, 1e6, 1e-9], dtype=F64)[:, None, None]
    frozen = st.matrix_normal(loc.numpy(), (row @ row.mT).numpy(), (column @ column.mT).numpy())
    torch.testing.assert_close(d.log_prob(value), torch.as_tensor(frozen.logpdf(value.numpy())), **EXACT)
    assert d.entropy().item() == pytest.approx(frozen.entropy(), rel=1e-10)
    agree_in_moments(d, torch.kron(row @ row.mT, column @ column.mT))


def test_matrix_normal_in_batches():
    d = MatrixNormal(torch.randn(4, 1, 2, 3, dtype=F64), tril(2, (5,)), tril(3))
    assert d.batch_shape == (4, 5)
    value = d.sample()
    single = MatrixNormal(d.loc[1, 2], d.scale_tril_row[1, 2], d.scale_tril_column[1, 2])
    torch.testing.assert_close(d.log_prob(value)[1, 2], single.log_prob(value[1, 2]))


@pytest.mark.parametrize("sigma", [None, 0.7], ids=["plain", "noisy"])
@pytest.mark.parametrize("name", ["covs", "chols"])
def test_kronecker_is_dense(sigma, name):
    factors = [tril(2), tril(3), tril(2)]
    matrices = [factor @ factor.mT for factor in factors]
    dense = torch.kron(torch.kron(matrices[0], matrices[1]), matrices[2])
    dense = dense + (sigma or 0.0) ** 2 * torch.eye(12, dtype=F64)
    loc = torch.randn(12, dtype=F64)
    d = KroneckerNormal(loc, **{name: matrices if name == "covs" else factors}, sigma=sigma)
    value = 3 * torch.randn(5, 12, dtype=F64)
    expected = torchdist.MultivariateNormal(loc, dense).log_prob(value)
    torch.testing.assert_close(d.log_prob(value), expected, **EXACT)
    agree_in_moments(d, dense)


def test_kronecker_gradients():
    factors = [tril(2).requires_grad_(), tril(3).requires_grad_()]
    sigma = torch.tensor(0.5, dtype=F64, requires_grad=True)
    value, loc = torch.randn(6, dtype=F64), torch.zeros(6, dtype=F64)

    def density(first, second, sigma):
        return KroneckerNormal(loc, chols=[first.tril(), second.tril()], sigma=sigma).log_prob(value)

    assert torch.autograd.gradcheck(density, (*factors, sigma))
    assert torch.autograd.gradcheck(lambda *chols: density(*chols, None), factors)


@pytest.mark.parametrize("size", [1, 2, 4, 5])
def test_circulant_is_dense(size):
    spectrum = torch.rand(size // 2 + 1, dtype=F64) + 0.3
    loc = torch.randn(size, dtype=F64)
    d = CirculantNormal(loc, covariance_rfft=spectrum)
    dense = torchdist.MultivariateNormal(loc, d.covariance_matrix)
    value = 3 * torch.randn(5, size, dtype=F64)
    torch.testing.assert_close(d.log_prob(value), dense.log_prob(value), **EXACT)
    torch.testing.assert_close(d.entropy(), dense.entropy(), **EXACT)
    again = CirculantNormal(loc, covariance_row=d.covariance_row)
    torch.testing.assert_close(again.covariance_rfft, spectrum, **EXACT)
    torch.testing.assert_close(again.log_prob(value), dense.log_prob(value), **EXACT)
    agree_in_moments(d, d.covariance_matrix)


def test_circulant_is_dense_where_the_fast_transform_takes_over():
    size = 258
    spectrum = torch.rand(size // 2 + 1, dtype=F64) + 0.3
    d = CirculantNormal(torch.zeros(size, dtype=F64), covariance_rfft=spectrum)
    value = torch.randn(3, size, dtype=F64)
    dense = torchdist.MultivariateNormal(d.loc, d.covariance_matrix)
    torch.testing.assert_close(d.log_prob(value), dense.log_prob(value), **EXACT)


def test_circulant_agrees_with_numpyro():
    row = torch.tensor([2.0, 0.5, 0.2, 0.5], dtype=F64)
    d = CirculantNormal(torch.zeros(4, dtype=F64), covariance_row=row)
    value = torch.tensor([0.1, 0.2, -0.3, 0.5], dtype=F64)
    assert d.log_prob(value).item() == pytest.approx(-5.065139828242849, abs=1e-12)


def dense_circulant(d):
    return torchdist.MultivariateNormal(d.loc, d.covariance_matrix)


def dense_matrix(d):
    covariance = torch.kron(d.scale_tril_row @ d.scale_tril_row.mT, d.scale_tril_column @ d.scale_tril_column.mT)
    return torchdist.MultivariateNormal(d.loc.flatten(), covariance)


def free_normal(d):
    return torchdist.MultivariateNormal(torch.zeros(d.free, dtype=F64), d.scale**2 * torch.eye(d.free, dtype=F64))


@pytest.mark.parametrize(
    ("make", "dense"),
    [
        (lambda: ZeroSumNormal(torch.rand((), dtype=F64) + 0.5, (3, 4)), free_normal),
        (
            lambda: CirculantNormal(torch.randn(5, dtype=F64), covariance_rfft=torch.rand(3, dtype=F64) + 0.3),
            dense_circulant,
        ),
        (lambda: MatrixNormal(torch.randn(2, 3, dtype=F64), tril(2), tril(3)), dense_matrix),
    ],
    ids=["zero_sum", "circulant", "matrix"],
)
def test_divergences_are_those_of_dense_normals(make, dense):
    p, q = make(), make()
    torch.testing.assert_close(kl_divergence(p, q), torchdist.kl_divergence(dense(p), dense(q)), **EXACT)
    torch.testing.assert_close(kl_divergence(p, p), torch.zeros((), dtype=F64), rtol=0, atol=1e-12)


def test_divergences_want_one_event_shape():
    with pytest.raises(ShapeError):
        kl_divergence(ZeroSumNormal(1.0, (3,)), ZeroSumNormal(1.0, (4,)))


MATRIX = torch.eye(2)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ZeroSumNormal(-1.0, (3,)), ParameterError, "scale"),
        (lambda: ZeroSumNormal(1.0, ()), ParameterError, "event_shape"),
        (lambda: ZeroSumNormal(1.0, (3, 1)), ParameterError, "at least 2"),
        (lambda: ZeroSumNormal(1.0, (3,), validate_args=True).log_prob(torch.ones(3)), SupportError, "support"),
        (lambda: MatrixNormal(torch.zeros(2, 3), MATRIX, MATRIX), ShapeError, "do not fit loc"),
        (lambda: MatrixNormal(torch.zeros(2, 2), MATRIX, -MATRIX), ParameterError, "scale_tril_column"),
        (lambda: KroneckerNormal(torch.zeros(4)), ParameterError, "exactly one"),
        (lambda: KroneckerNormal(torch.zeros(3), covs=[MATRIX, MATRIX]), ShapeError, "do not fit loc"),
        (lambda: KroneckerNormal(torch.zeros(4), covs=[MATRIX, -MATRIX]), ParameterError, r"covs\[1\]"),
        (lambda: KroneckerNormal(torch.zeros(4), covs=[MATRIX, MATRIX], sigma=-1.0), ParameterError, "sigma"),
        (lambda: CirculantNormal(torch.zeros(4)), ParameterError, "exactly one"),
        (lambda: CirculantNormal(torch.zeros(4), torch.ones(3)), ShapeError, "does not fit"),
        (lambda: CirculantNormal(torch.zeros(3), torch.tensor([1.0, 0.9, 0.1])), ParameterError, "covariance_row"),
        (lambda: CirculantNormal(torch.zeros(3), covariance_rfft=-torch.ones(2)), ParameterError, "covariance_rfft"),
    ],
)
def test_refusals(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_numpy_floats_serve_as_scale():
    assert ZeroSumNormal(np.float64(2.0), (3,)).scale.dtype == F64
