"""Adam with clipped gradients and a learning rate that decays a little at each step."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.optim.groupwise import GroupwiseOptimizer

__all__ = ["ClippedAdam"]


class ClippedAdam(GroupwiseOptimizer):
    """Adam that clamps each entry of a gradient and decays its learning rate geometrically.

    For a gradient g, clamped to [-clip_norm, clip_norm], step t moves a parameter by
    -lr * lrd**t * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + eps), where m and v are running means of g
    and of g**2 (or of (g - m)**2).

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        betas: how much of the running means of the gradient and of its square stays at a step.
        eps: added to the root of the second, against division by zero.
        weight_decay: times the parameter, added to its clamped gradient.
        clip_norm: the largest magnitude of an entry of a gradient.
        lrd: factor of the learning rate at each step, the first one too.
        centered_variance: measure the second moment around the running mean, not around zero.

    Source:
        Kingma and Ba, 2015, Adam: a method for stochastic optimization, algorithm 1, with its efficient order of
        computation (section 2), where eps is added before the correction of bias.

    Example:
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> optimizer = ClippedAdam([x], lr=0.1, clip_norm=1.0, lrd=0.99)
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     (x**2).sum().backward()
        ...     optimizer.step()
        >>> bool(x.abs() < 0.1)
        True
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0,
        clip_norm: float = 10.0,
        lrd: float = 1.0,
        centered_variance: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "clip_norm": clip_norm,
            "lrd": lrd,
            "centered_variance": centered_variance,
        }
        super().__init__(params, defaults)

    def _before_group(self, group: dict[str, Any]) -> None:
        group["lr"] *= group["lrd"]

    def _step_group(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        grads: list[torch.Tensor] = [p.grad for p in params]  # type: ignore[misc]
        means, squares, steps = self._advance(params)
        grads = list(torch._foreach_clamp_min(grads, -group["clip_norm"]))
        torch._foreach_clamp_max_(grads, group["clip_norm"])
        if group["weight_decay"] != 0:
            torch._foreach_add_(grads, params, alpha=group["weight_decay"])

        beta1, beta2 = group["betas"]
        torch._foreach_lerp_(means, grads, 1 - beta1)
        around = torch._foreach_sub(grads, means) if group["centered_variance"] else grads
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, around, around, 1 - beta2)

        scales = torch._foreach_sqrt(squares)
        torch._foreach_add_(scales, group["eps"])
        lr = float(group["lr"])
        sizes = [-lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) for t in steps]
        torch._foreach_addcdiv_(params, means, scales, sizes)

    def _advance(self, params: list[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor], list[int]]:
        """Count a step for each parameter; return running means, running means of squares, and counts."""
        means, squares, steps = [], [], []
        for param in params:
            state = self.state[param]
            if not state:
                state["step"] = 0
                state["exp_avg"] = torch.zeros_like(param)
                state["exp_avg_sq"] = torch.zeros_like(param)
            state["step"] += 1
            means.append(state["exp_avg"])
            squares.append(state["exp_avg_sq"])
            steps.append(int(state["step"]))
        return means, squares, steps
