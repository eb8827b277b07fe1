"""A step rule between Adagrad and RMSProp, for black-box variational inference."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.optim.groupwise import GroupwiseOptimizer

__all__ = ["AdagradRMSProp"]


class AdagradRMSProp(GroupwiseOptimizer):
    """Steps that shrink like Adagrad's, scaled by a running mean of squared gradients like RMSProp's.

    Step k moves a parameter by -eta * k**(-1/2 + delta) * g / (1 + sqrt(s)), where g is its gradient and s starts
    as g**2 and then is (1 - t) * s + t * g**2.

    Args:
        params: tensors, or groups of them.
        eta: scale of the steps.
        delta: a small number that keeps the sum of the steps infinite.
        t: weight of the newest squared gradient.

    Source:
        Kucukelbir, Tran, Ranganath, Gelman and Blei, 2017, Automatic differentiation variational inference,
        equations 10 and 11.

    Example:
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> optimizer = AdagradRMSProp([x], eta=1.0)
        >>> for _ in range(200):
        ...     optimizer.zero_grad()
        ...     (x**2).sum().backward()
        ...     optimizer.step()
        >>> bool(x.abs() < 0.1)
        True
    """

    def __init__(self, params: Any, eta: float = 1.0, delta: float = 1e-16, t: float = 0.1) -> None:
        super().__init__(params, {"eta": eta, "delta": delta, "t": t})

    def _step_group(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        grads: list[torch.Tensor] = [p.grad for p in params]  # type: ignore[misc]
        sums, sizes = [], []
        for param, grad in zip(params, grads):
            state = self.state[param]
            if not state:
                state["step"] = 0
                state["sum"] = grad * grad
            state["step"] += 1
            sums.append(state["sum"])
            sizes.append(-group["eta"] * float(state["step"]) ** (-0.5 + group["delta"]))
        # The first square is its own running mean: (1 - t) g^2 + t g^2 leaves it as it is.
        torch._foreach_mul_(sums, 1 - group["t"])
        torch._foreach_addcmul_(sums, grads, grads, group["t"])
        scales = torch._foreach_sqrt(sums)
        torch._foreach_add_(scales, 1.0)
        torch._foreach_addcdiv_(params, grads, scales, sizes)
