"""The base of our own torch optimisers: the closure, and one call for each group of parameters that have gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["GroupwiseOptimizer"]


class GroupwiseOptimizer(Optimizer):
    """Abstract. A torch optimiser that steps the parameters of a group together.

    Implementing an optimiser: define

    - `_step_group(group, params)`: step parameters that all have gradients, in place;
    - `_before_group(group)`, where something changes each step, gradients or not.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: computes the loss and its gradients anew.

        Returns:
            what the closure returned, or None without one.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._before_group(group)
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._step_group(group, params)
        return loss

    def _before_group(self, group: dict[str, Any]) -> None:
        """Change a group's options before its step."""

    @abstractmethod
    def _step_group(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        """Step parameters that all have gradients, in place."""
