"""Stick breaking: torch's map, an inverse and a log-Jacobian that stay finite."""

from __future__ import annotations

import pytest
import torch
import torch.distributions.transforms as torch_transforms

from pyroxene.distributions import transforms as T


@pytest.mark.parametrize("size", [1, 2, 7])
def test_stick_breaking_is_torchs(size: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, size, dtype=torch.float64)
    ours, theirs = T.StickBreakingTransform(), torch_transforms.StickBreakingTransform()
    y = ours(x)
    assert torch.equal(y, theirs(x))
    torch.testing.assert_close(ours.inv(y), theirs.inv(y))
    torch.testing.assert_close(ours.log_abs_det_jacobian(x, y), theirs.log_abs_det_jacobian(x, y))


@pytest.mark.parametrize(("size", "scale"), [(1000, 3.0), (10, 50.0), (10_000, 3.0)])
def test_stick_breaking_is_stable_in_float32(size: int, scale: float) -> None:
    torch.manual_seed(0)
    x = (torch.randn(10, size) * scale).requires_grad_()
    transform = T.StickBreakingTransform()
    y = transform(x)
    log_jacobian = transform.log_abs_det_jacobian(x, y)
    (gradient,) = torch.autograd.grad(log_jacobian.sum(), x)
    assert log_jacobian.isfinite().all() and gradient.isfinite().all() and transform.inv(y).isfinite().all()
    double = x.detach().double()
    expected = transform.log_abs_det_jacobian(double, transform(double))
    torch.testing.assert_close(log_jacobian.double(), expected, rtol=1e-4, atol=1e-2)


def test_corners_of_the_simplex_have_finite_inverses() -> None:
    assert T.StickBreakingTransform().inv(torch.eye(3)).isfinite().all()
