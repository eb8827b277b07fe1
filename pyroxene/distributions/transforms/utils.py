"""Small functions that several flows share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["clamp_preserve_gradients", "invert_increasing", "sinh_search"]


def clamp_preserve_gradients(x: Tensor, min: float, max: float) -> Tensor:
    """Return x clamped to [min, max], with the gradient of x itself.

    Example:
        >>> x = torch.tensor(7.0, requires_grad=True)
        >>> y = clamp_preserve_gradients(x, -5.0, 3.0)
        >>> y.item(), torch.autograd.grad(y, x)[0].item()
        (3.0, 1.0)
    """
    return x + (x.clamp(min, max) - x).detach()


def invert_increasing(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    target: Tensor,
    lower: Tensor,
    upper: Tensor,
    path: Callable[[Tensor], Tensor] = lambda position: position,
) -> Tensor:
    """Return x at which an increasing function of x, entry by entry, takes a target value.

    The interval is halved a fixed number of times, until it is as narrow as the precision of numbers. First gradients
    in the target and in what the function closes over pass through a step of Newton's method (the implicit function
    theorem).

    Args:
        function: takes x to its value and the logarithm of its derivative, entry by entry; it may overflow far out.
        target: the values, any shape.
        lower: a position below the solution, the target's shape.
        upper: a position above the solution, the target's shape.
        path: increasing map from position to x; the search is even in the position.

    Returns:
        x, the target's shape; NaN where the function does not take the target value.

    Example:
        >>> cube = lambda x: (x**3 + x, (3 * x**2 + 1).log())
        >>> y = torch.tensor([10.0, -2.0])
        >>> invert_increasing(cube, y, torch.full((2,), -5.0), torch.full((2,), 5.0))
        tensor([ 2., -1.])
    """
    precision = torch.finfo(target.dtype).eps
    halvings = 6 + (53 if precision < 1e-10 else 24)
    with torch.no_grad():
        for _ in range(halvings):
            middle = 0.5 * (lower + upper)
            x = path(middle)
            value = function(x)[0]
            # far out terms of both signs may overflow to NaN; an increasing function has the sign of x there
            above = torch.where(value.isnan(), x > 0, value > target)
            lower, upper = torch.where(above, lower, middle), torch.where(above, middle, upper)
    x = path(0.5 * (lower + upper)).detach()
    value, log_slope = function(x)
    slope = log_slope.detach().exp()
    gap = value - target
    reached = gap.detach().abs() <= 1e4 * precision * (1 + target.abs() + slope * x.abs())
    tiny = torch.finfo(target.dtype).tiny
    step = gap / torch.where(reached, slope, torch.ones_like(slope)).clamp(min=tiny)
    # x is as near as numbers come: the step carries the gradient, and its own value, rounding, is taken out again
    return torch.where(reached, x - (step - step.detach()), torch.full_like(x, torch.nan))


def sinh_search(target: Tensor) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Return bounds and a path for `invert_increasing` over the whole line: |x| up to 3e10, evenly in asinh(x)."""
    return torch.full_like(target, -25.0), torch.full_like(target, 25.0), torch.sinh
