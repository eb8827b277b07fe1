"""Inverses, quotients and determinants at their edges: singular, not finite, badly scaled, in loops."""

from __future__ import annotations

import math

import pytest
import torch

from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.emit import SMALL
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.graph import verify
from pyroxene.compiler.scan import scan

torch.set_num_threads(1)
SIZES = [1, 2, 5, SMALL, SMALL + 1, 40]
"""By loops, and by LAPACK."""


def matrix(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def native_of(function, n: int):
    """Return the value and gradient of a function of a matrix, as machine code."""
    native = NativeFunction(gradient_graph(lambda z: function(z.reshape(n, n)), matrix(n).flatten()))
    return lambda a: native.value_and_grad(a.flatten())


def singular(n: int) -> torch.Tensor:
    """Of small whole numbers, so that elimination meets an exact zero."""
    a = torch.eye(n, dtype=torch.float64)
    a[-1] = a[0] if n > 1 else 0.0
    return a


@pytest.mark.parametrize("n", SIZES)
def test_the_determinant_of_a_singular_matrix(n):
    sign, logarithm = (native_of(lambda a, part=part: torch.linalg.slogdet(a)[part], n) for part in (0, 1))
    assert sign(singular(n))[0].item() == 0.0
    assert logarithm(singular(n))[0].item() == -math.inf
    value, gradient = native_of(torch.linalg.det, n)(singular(n))
    assert value.item() == 0.0
    assert gradient.shape == (n * n,)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("function", [torch.linalg.inv, lambda a: torch.linalg.solve(a, a + 1.0)], ids=["inv", "solve"])
def test_quotients_by_a_singular_matrix_are_not_finite(n, function):
    value, gradient = native_of(lambda a: function(a).sum(), n)(singular(n))
    assert not value.isfinite()
    assert not gradient.isfinite().all()


@pytest.mark.parametrize("n", [1, 2, SMALL, 40])
@pytest.mark.parametrize("function", [torch.linalg.inv, lambda a: torch.linalg.slogdet(a)[1]], ids=["inv", "slogdet"])
def test_what_is_not_finite_stays_so(n, function):
    compiled = native_of(lambda a: function(a).sum(), n)
    for bad in (math.nan, math.inf, -math.inf):
        one = matrix(n)
        one[n // 2, -1] = bad
        for a in (one, torch.full_like(one, bad)):
            value, gradient = compiled(a)
            assert value.isnan()
            assert gradient.isnan().all()


@pytest.mark.parametrize("n", SIZES)
def test_numbers_that_are_very_large_or_small(n):
    compiled = native_of(lambda a: torch.linalg.slogdet(a)[1], n)
    for size in (1e-200, 1e200):
        a = matrix(n) * size
        value, gradient = compiled(a)
        assert value.item() == pytest.approx(torch.linalg.slogdet(a)[1].item(), rel=1e-12)
        assert torch.allclose(gradient.reshape(n, n) * size, torch.linalg.inv(matrix(n)).mT, rtol=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_rows_are_exchanged_for_accuracy(n):
    """Without pivots the first element would leave no digit."""
    a = matrix(n, 3)
    a[0, 0] = 1e-18 if n > 1 else 1.0
    value, gradient = native_of(lambda a: torch.linalg.inv(a).sum(), n)(a)
    leaf = a.clone().requires_grad_()
    expected = torch.linalg.inv(leaf).sum()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)
    assert (gradient.reshape(n, n) - leaf.grad).abs().max() <= 1e-10 * leaf.grad.abs().max()


@pytest.mark.parametrize("n", [5, 40])
def test_one_matrix_is_factored_once(n):
    def function(z):
        a = z.reshape(n, n)
        return torch.linalg.slogdet(a)[1] + torch.linalg.inv(a).sum() + torch.linalg.solve(a, torch.ones(n)).sum()

    operations = [node.op for node in gradient_graph(function, matrix(n).flatten()).nodes()]
    assert operations.count("lu") == 1
    assert "log_determinant" not in operations


def test_a_matrix_of_data_is_factored_before_the_first_call():
    a = matrix(6)
    operations = [node.op for node in gradient_graph(lambda z: torch.linalg.solve(a, z).sin().sum(), a[0]).nodes()]
    assert "lu" not in operations


@pytest.mark.parametrize("n", [3, 26])
def test_in_a_loop(n):
    rows = torch.randn(4, n, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def filtered(z):
        """A Kalman filter, by inverses."""
        turn = 0.2 * z[: n * n].reshape(n, n)
        noise = torch.diag_embed(z[n * n :].exp())

        def step(carry, part, at):
            mean, covariance, total = carry
            mean, covariance = turn @ mean, turn @ covariance @ turn.mT + noise
            spread = covariance + torch.eye(n)
            error = part[0] - mean
            gain = covariance @ torch.linalg.inv(spread)
            total = total - torch.logdet(spread) - error @ torch.linalg.solve(spread, error)
            return [mean + gain @ error, covariance - gain @ covariance, total], []

        start = [torch.zeros(n, dtype=torch.float64), torch.eye(n, dtype=torch.float64), z[0] * 0.0]
        return scan(step, start, [rows], len(rows))[0][2]

    z = 0.3 * torch.randn(n * n + n, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    graph = gradient_graph(filtered, z)
    verify(graph)
    native = NativeFunction(graph)
    for scale in (1.0, -0.5):
        leaf = (z * scale).requires_grad_()
        expected = filtered(leaf)
        (slope,) = torch.autograd.grad(expected, leaf)
        for value, gradient in (evaluate(graph, [z * scale]), native.value_and_grad(z * scale)):
            assert value.item() == pytest.approx(expected.item(), rel=1e-10)
            assert (gradient - slope).abs().max() <= 1e-10 * max(1.0, slope.abs().max().item())
    values, gradients = native.batched(2).value_and_grad(torch.stack([z, -z]))
    for point, value, gradient in zip((z, -z), values, gradients):
        alone, slope = native.value_and_grad(point)
        assert value.item() == pytest.approx(alone.item(), rel=1e-11)
        assert (gradient - slope).abs().max() <= 1e-11 * max(1.0, slope.abs().max().item())


def test_other_sizes_share_a_library_of_the_same_form():
    for n in (4, 6, 9, 12, 30, 33, 37):
        a = matrix(n, n)
        value, gradient = native_of(lambda a: torch.linalg.slogdet(a)[1], n)(a)
        assert value.item() == pytest.approx(torch.linalg.slogdet(a)[1].item(), rel=1e-11, abs=1e-11)
        assert torch.allclose(gradient.reshape(n, n), torch.linalg.inv(a).mT, rtol=1e-9, atol=1e-9)
