"""Second derivatives of a scalar, by differentiating its gradient."""

from __future__ import annotations

from collections.abc import Sequence

import torch

__all__ = ["hessian"]


def hessian(y: torch.Tensor, xs: torch.Tensor | Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the matrix of second derivatives of a scalar.

    Args:
        y: a tensor with one element, a function of `xs`.
        xs: one tensor, or several, that `y` was computed from.

    Returns:
        shape (n, n), n the number of entries of all `xs`, row by row in their order; differentiable.

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> hessian(x[0] ** 2 * x[1], x).detach()
        tensor([[4., 2.],
                [2., 0.]])
    """
    inputs = [xs] if isinstance(xs, torch.Tensor) else list(xs)
    grads = torch.autograd.grad(y, inputs, create_graph=True, allow_unused=True, materialize_grads=True)
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    rows = []
    for entry in flat.unbind():
        if not entry.requires_grad:  # y is linear in everything
            rows.append(torch.zeros_like(flat))
            continue
        second = torch.autograd.grad(entry, inputs, create_graph=True, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([part.reshape(-1) for part in second]))
    return torch.stack(rows)
