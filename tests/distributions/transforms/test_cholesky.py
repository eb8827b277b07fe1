"""Cholesky transforms: known values, agreement with torch where torch is right, stability where it is not."""

from __future__ import annotations

import pytest
import torch
import torch.distributions.transforms as torch_transforms

from pyroxene.distributions import constraints
from pyroxene.distributions import transforms as T
from pyroxene.distributions.transforms.triangular import from_vector, matrix_size, to_vector
from pyroxene.errors import ShapeError, UsageError


@pytest.mark.parametrize("size", [2, 3, 6])
def test_corr_cholesky_is_torchs(size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, size * (size - 1) // 2, dtype=torch.float64)
    ours, theirs = T.CorrCholeskyTransform(), torch_transforms.CorrCholeskyTransform()
    y = ours(x)
    torch.testing.assert_close(y, theirs(x))
    torch.testing.assert_close(ours.inv(y), theirs.inv(y))
    torch.testing.assert_close(ours.log_abs_det_jacobian(x, y), theirs.log_abs_det_jacobian(x, y))
    assert isinstance(ours, torch_transforms.CorrCholeskyTransform)


@pytest.mark.parametrize(("size", "scale"), [(5, 3.0), (20, 3.0), (100, 3.0), (20, 100.0)])
def test_corr_cholesky_is_stable_in_float32(size: int, scale: float) -> None:
    torch.manual_seed(0)
    transform = T.CorrCholeskyTransform()
    x = (torch.randn(10, size * (size - 1) // 2) * scale).requires_grad_()
    y = transform(x)
    assert constraints.corr_cholesky.check(y).all()
    log_jacobian = transform.log_abs_det_jacobian(x, y)
    double = x.detach().double()
    expected = transform.log_abs_det_jacobian(double, transform(double))
    torch.testing.assert_close(log_jacobian.double(), expected, rtol=1e-4, atol=1e-3)
    (gradient,) = torch.autograd.grad(log_jacobian.sum() + y.sum(), x)
    assert gradient.isfinite().all() and transform.inv(y).isfinite().all()


def test_corr_cholesky_inverse_recovers_strong_correlations_in_float32() -> None:
    x = torch.tensor([6.0, -5.0, 0.1])
    torch.testing.assert_close(T.CorrCholeskyTransform().inv(T.CorrCholeskyTransform()(x)), x, rtol=0.02, atol=1e-3)


def test_corr_matrix_has_a_unit_diagonal() -> None:
    torch.manual_seed(0)
    y = T.biject_to(constraints.corr_matrix)(torch.randn(4, 10))
    torch.testing.assert_close(y.diagonal(dim1=-2, dim2=-1), torch.ones(4, 5))
    torch.testing.assert_close(y, y.mT)


def test_lkj_density_in_unconstrained_space_integrates_to_one() -> None:
    """For 2 x 2 matrices the density of the LKJ prior, pulled back to x, is a density of one variable."""
    x = torch.linspace(-15, 15, 20_001, dtype=torch.float64).unsqueeze(-1)
    transform = T.biject_to(constraints.corr_cholesky)
    y = transform(x)
    fn = torch.distributions.LKJCholesky(2, torch.tensor(1.5, dtype=torch.float64), validate_args=False)
    density = (fn.log_prob(y) + transform.log_abs_det_jacobian(x, y)).exp()
    torch.testing.assert_close(torch.trapezoid(density, x.squeeze(-1)).item(), 1.0, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("strict", [False, True])
def test_vectors_and_triangles(strict: bool) -> None:
    size = 4
    length = size * (size - 1) // 2 if strict else size * (size + 1) // 2
    vector = torch.arange(1.0, length + 1)
    matrix = from_vector(vector, strict)
    expected = torch.zeros(size, size)
    row, column = torch.tril_indices(size, size, -1 if strict else 0)
    expected[row, column] = vector
    assert torch.equal(matrix, expected)
    assert torch.equal(to_vector(matrix, strict), vector)
    assert matrix_size(length, strict) == size


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ShapeError, match="lower-diagonal"):
        T.CorrCholeskyTransform()(torch.zeros(4))
    with pytest.raises(ValueError, match="lower-diagonal"):
        T.VectorToTriangularTransform().forward_shape(torch.Size([5]))
    with pytest.raises(ValueError, match="square"):
        T.VectorToTriangularTransform().inverse_shape(torch.Size([2, 3]))
    with pytest.raises(UsageError, match="diagonal"):
        T.VectorToTriangularTransform("none")
    with pytest.raises(ShapeError, match="scale_tril"):
        T.LowerCholeskyAffine(torch.zeros(2), torch.eye(3))


def test_lower_cholesky_affine_broadcasts() -> None:
    transform = T.LowerCholeskyAffine(torch.zeros(4, 1, 2), torch.eye(2).expand(3, 2, 2))
    x = torch.randn(2)
    y = transform(x)
    assert y.shape == (4, 3, 2) == transform.forward_shape(x.shape)
    assert transform.log_abs_det_jacobian(x, y).shape == (3,)
