"""One Newton step towards the minimum of a loss, for a batch of short vectors, inside a trust region."""

from __future__ import annotations

import torch

from pyroxene.errors import ShapeError

__all__ = ["newton_step", "newton_step_1d", "newton_step_2d", "newton_step_3d"]

_SMALLEST = 1e-8
"""Smallest curvature in one dimension, and smallest damping: keeps the step finite on a flat or concave loss."""


def newton_step(
    loss: torch.Tensor, x: torch.Tensor, trust_radius: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return where a Newton step from `x` leads, and the inverse Hessian at `x`.

    The loss is taken as a sum over the batch of functions of one vector each. With a trust region the Hessian H is
    damped: the step solves (H + c) step = -g with the smallest c for which the smallest eigenvalue of H + c is
    |g| / trust_radius, which bounds the step by trust_radius. Where the loss is a negative log density, the result
    is a Laplace approximation: a normal with that mean and covariance.

    Args:
        loss: a scalar, twice differentiable with respect to `x`.
        x: shape (*batch, d), one vector for each element of the batch.
        trust_radius: the longest step, in the units of `x`, or None for no bound.

    Returns:
        mode: shape (*batch, d).
        covariance: shape (*batch, d, d). Both are differentiable: detach them in a loop, or the graph of all steps is
        kept. They are nan where the Hessian is singular or not finite (in one dimension the step is then zero).

    Raises:
        ShapeError: `x` is a scalar.

    Source:
        Yuan, 2000, A review of trust region algorithms for optimization.

    Example:
        >>> x = torch.tensor([3.0, 1.0], requires_grad=True)
        >>> mode, covariance = newton_step((x**2).sum(), x)
        >>> mode.detach(), covariance.detach()
        (tensor([0., 0.]), tensor([[0.5000, 0.0000],
                [0.0000, 0.5000]]))
    """
    if x.dim() < 1:
        raise ShapeError(
            "Newton's method steps vectors", expected="shape (*batch, d)", got=x, hint="x.unsqueeze(-1) inside the loss"
        )
    if x.size(-1) == 1:
        return newton_step_1d(loss, x, trust_radius)
    return _step_nd(loss, x, trust_radius)


def newton_step_1d(
    loss: torch.Tensor, x: torch.Tensor, trust_radius: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `newton_step` for vectors of one entry; the step is clamped, and no curvature is below 1e-8.

    Args:
        loss: a scalar, twice differentiable with respect to `x`.
        x: shape (*batch, 1).
        trust_radius: the longest step, or None.
    """
    _check_size(x, 1)
    gradient, hessian = _derivatives(loss, x)
    curvature = hessian[..., 0].clamp(min=_SMALLEST)
    step = -gradient / curvature
    step = torch.where(step.isnan(), torch.zeros_like(step), step)
    if trust_radius is not None:
        step = step.clamp(min=-trust_radius, max=trust_radius)
    return x.detach() + step, curvature.reciprocal().unsqueeze(-1)


def newton_step_2d(
    loss: torch.Tensor, x: torch.Tensor, trust_radius: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `newton_step` for vectors of two entries, shape (*batch, 2)."""
    _check_size(x, 2)
    return _step_nd(loss, x, trust_radius)


def newton_step_3d(
    loss: torch.Tensor, x: torch.Tensor, trust_radius: float | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `newton_step` for vectors of three entries, shape (*batch, 3)."""
    _check_size(x, 3)
    return _step_nd(loss, x, trust_radius)


def _check_size(x: torch.Tensor, size: int) -> None:
    if x.dim() < 1 or x.size(-1) != size:
        raise ShapeError("the vectors have another length", expected=f"shape (*batch, {size})", got=x)


def _derivatives(loss: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradient, shape (*batch, d), and the Hessian within each vector, shape (*batch, d, d)."""
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    if not gradient.requires_grad:  # the loss is linear
        return gradient, torch.zeros_like(gradient).unsqueeze(-1).expand(*x.shape, x.size(-1))
    rows = [
        torch.autograd.grad(entry.sum(), x, create_graph=True, allow_unused=True, materialize_grads=True)[0]
        for entry in gradient.unbind(-1)
    ]
    return gradient, torch.stack(rows, dim=-2)


def _step_nd(loss: torch.Tensor, x: torch.Tensor, trust_radius: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    gradient, hessian = _derivatives(loss, x)
    finite = hessian.isfinite().all(-1).all(-1)[..., None, None]
    identity = torch.eye(x.size(-1), dtype=x.dtype, device=x.device)
    safe = torch.where(finite, hessian, identity)  # LAPACK stops at a number that is not finite
    if trust_radius is not None:
        smallest = torch.linalg.eigvalsh(safe)[..., 0]
        damping = (gradient.norm(dim=-1) / trust_radius - smallest).clamp(min=_SMALLEST)
        safe = safe + damping[..., None, None] * identity
    inverse, failed = torch.linalg.inv_ex(safe)
    covariance = torch.where(finite & (failed == 0)[..., None, None], inverse, torch.full_like(inverse, torch.nan))
    return x.detach() - (covariance @ gradient.unsqueeze(-1)).squeeze(-1), covariance
