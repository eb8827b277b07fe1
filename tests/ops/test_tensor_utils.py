"""Tensor utilities against numpy, scipy and definitions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch

from pyroxene import settings
from pyroxene.errors import ShapeError, UsageError
from pyroxene.ops import tensor_utils as U


def randn(*shape: int) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(shape, dtype=torch.float64)


def test_blocks() -> None:
    blocks = randn(2, 3, 4, 5)
    embedded = U.block_diag_embed(blocks)
    assert embedded.shape == (2, 12, 15)
    assert torch.equal(embedded[0], torch.block_diag(*blocks[0]))
    assert torch.equal(U.block_diagonal(embedded, 3), blocks)
    with pytest.raises(ShapeError, match="blocks"):
        U.block_diagonal(randn(4, 4), 3)


@pytest.mark.parametrize("cut", [slice(None), slice(1, None)])
def test_as_complex_reads_any_strides(cut: slice) -> None:
    for pairs in (randn(4, 3, 2)[cut], randn(2, 3, 4).mT[..., :2], randn(4, 3)[:, 1:]):
        actual = U.as_complex(pairs)
        assert torch.equal(actual.real, pairs[..., 0]) and torch.equal(actual.imag, pairs[..., 1])


def test_broadcast_tensors_without_dim() -> None:
    one, other = U.broadcast_tensors_without_dim([torch.zeros(3, 1, 2), torch.ones(4, 5)], -1)
    assert one.shape == (3, 4, 2) and other.shape == (3, 4, 5)
    one, other = U.broadcast_tensors_without_dim([torch.zeros(3, 1), torch.ones(4, 2, 7)], -2)
    assert one.shape == (4, 3, 7) and other.shape == (4, 2, 7)
    with pytest.raises(UsageError, match="right"):
        U.broadcast_tensors_without_dim([one], 0)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_periodic_repeat(dim: int, size: int) -> None:
    x = randn(2, 3)
    y = U.periodic_repeat(x, size, dim)
    for time in range(size):
        assert torch.equal(y.select(dim, time), x.select(dim, time % x.size(dim)))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("period", [1, 2, 3, 8, 20])
def test_periodic_cumsum(dim: int, period: int) -> None:
    x = randn(8, 9)
    y = U.periodic_cumsum(x, period, dim)
    for time in range(x.size(dim)):
        phase = range(time % period, time + 1, period)
        torch.testing.assert_close(y.select(dim, time), sum(x.select(dim, earlier) for earlier in phase))


def test_periodic_features() -> None:
    y = U.periodic_features(10, 20.0, 6.0, dtype=torch.float64)
    time = np.arange(10)[:, None] * 2 * np.pi / 20 * np.array([1, 2, 3])
    np.testing.assert_allclose(y.numpy(), np.concatenate([np.cos(time), np.cos(time + np.pi / 2)], -1), atol=1e-12)
    assert U.periodic_features(7).shape == (7, 6)
    with pytest.raises(UsageError, match="periods"):
        U.periodic_features(7, 2.0, 3.0)
    with pytest.raises(UsageError, match="duration"):
        U.periodic_features(0)


def test_next_fast_len() -> None:
    for size in range(1, 300):
        assert U.next_fast_len(size) == scipy.fft.next_fast_len(size, real=True)
    with pytest.raises(UsageError, match="size"):
        U.next_fast_len(0)


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (5, 2), (2, 5), (7, 7)])
def test_convolve(mode: str, m: int, n: int) -> None:
    signal, kernel = randn(3, 1, m), randn(2, n)
    y = U.convolve(signal, kernel, mode)
    for i in range(3):
        for j in range(2):
            expected = np.convolve(signal[i, 0].numpy(), kernel[j].numpy(), mode)
            np.testing.assert_allclose(y[i, j].numpy(), expected, atol=1e-12)


def test_convolve_refuses_an_unknown_mode() -> None:
    with pytest.raises(ValueError, match="mode"):
        U.convolve(randn(3), randn(2), "circular")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8])
def test_repeated_matmul(n: int) -> None:
    matrix = randn(2, 3, 3)
    powers = U.repeated_matmul(matrix, n)
    assert powers.shape == (n, 2, 3, 3)
    for k in range(n):
        torch.testing.assert_close(powers[k], torch.linalg.matrix_power(matrix, k + 1))


@pytest.mark.parametrize("dim", [-1, -2, 0])
@pytest.mark.parametrize("size", [1, 2, 3, 8, 9])
def test_dct(size: int, dim: int) -> None:
    x = randn(size, size, size)
    y = U.dct(x, dim)
    np.testing.assert_allclose(y.numpy(), scipy.fft.dct(x.numpy(), norm="ortho", axis=dim), atol=1e-12)
    torch.testing.assert_close(U.idct(y, dim), x)
    np.testing.assert_allclose(U.idct(x, dim).numpy(), scipy.fft.idct(x.numpy(), norm="ortho", axis=dim), atol=1e-12)


@pytest.mark.parametrize("size", range(1, 18))
def test_haar_is_orthonormal(size: int) -> None:
    identity = torch.eye(size, dtype=torch.float64)
    matrix = U.haar_transform(identity)
    torch.testing.assert_close(matrix @ matrix.mT, identity)
    torch.testing.assert_close(U.inverse_haar_transform(matrix), identity)


def test_haar_of_an_odd_length() -> None:
    y = U.haar_transform(torch.tensor([1.0, 3.0, 5.0]))
    torch.testing.assert_close(y, torch.tensor([4.0, -2.0, 0.0]) / 2**0.5 + torch.tensor([0.0, 0.0, 5.0]))


def test_safe_cholesky() -> None:
    factor = randn(4, 3, 3)
    matrix = factor @ factor.mT
    torch.testing.assert_close(U.safe_cholesky(matrix), torch.linalg.cholesky(matrix), rtol=1e-9, atol=1e-9)
    singular = torch.ones(2, 2)
    assert U.safe_cholesky(singular).isfinite().all()
    with settings.context(cholesky_relative_jitter=0.0), pytest.raises(torch.linalg.LinAlgError):
        U.safe_cholesky(singular - torch.tensor([[0.0, 0.0], [0.0, 1e-3]]))
    assert U.safe_cholesky(torch.zeros(1, 1)) > 0
    before = singular.clone()
    U.safe_cholesky(singular)
    assert torch.equal(singular, before)


@pytest.mark.parametrize("size", [1, 3])
def test_solvers(size: int) -> None:
    factor = randn(2, size, size)
    matrix = factor @ factor.mT + torch.eye(size)
    lower = torch.linalg.cholesky(matrix)
    right = randn(2, size, 4)
    torch.testing.assert_close(matrix @ U.cholesky_solve(right, lower), right)
    torch.testing.assert_close(lower @ U.triangular_solve(right, lower), right)
    torch.testing.assert_close(lower.mT @ U.triangular_solve(right, lower, transpose=True), right)
    torch.testing.assert_close(lower.mT @ U.triangular_solve(right, lower.mT, upper=True), right)
    torch.testing.assert_close(lower @ U.triangular_solve(right, lower.mT, upper=True, transpose=True), right)
    torch.testing.assert_close(U.matmul(matrix, right), matrix @ right)
    torch.testing.assert_close(U.matvecmul(matrix, right[..., 0]), (matrix @ right)[..., 0])
    scale = U.precision_to_scale_tril(matrix)
    torch.testing.assert_close(scale @ scale.mT, matrix.inverse())
    assert torch.equal(scale, scale.tril())


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_safe_normalize(p: float) -> None:
    x = randn(5, 3)
    y = U.safe_normalize(x, p=p)
    torch.testing.assert_close(y, x / x.norm(p=p, dim=-1, keepdim=True))
    assert torch.equal(U.safe_normalize(torch.zeros(2)), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(U.safe_normalize(x * 1e-300, p=p), y)


def test_safe_normalize_has_the_gradient_of_the_projection() -> None:
    x = randn(3).requires_grad_()
    weight = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    (actual,) = torch.autograd.grad((U.safe_normalize(x) * weight).sum(), x)
    (expected,) = torch.autograd.grad((x / x.norm() * weight).sum(), x)
    torch.testing.assert_close(actual, expected)
    zero = torch.zeros(3, requires_grad=True)
    (gradient,) = torch.autograd.grad(U.safe_normalize(zero).sum(), zero)
    assert torch.equal(gradient, torch.zeros(3))
