"""Clipped Adam that also moves along slow modes of time series, and can leave alone what a subsample left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from pyroxene.errors import OptionError
from pyroxene.ops.tensor_utils import dct, idct
from pyroxene.optim.groupwise import GroupwiseOptimizer

__all__ = ["DCTAdam"]


class DCTAdam(GroupwiseOptimizer):
    """Clipped Adam, with a second set of coordinates for parameters that have a time dimension.

    A parameter whose attribute `_pyro_dct_dim` (a negative integer) names its time dimension is the sum of two
    series: one in the time domain and one in the frequency domain (through a discrete cosine transform), and Adam
    moves both. Neighbouring entries, whose posterior is correlated, thus move together.

    Args:
        params: tensors, or groups of them.
        lr: the learning rate.
        betas: how much of the running means of the gradient and of its square stays at a step.
        eps: added to the root of the second, against division by zero.
        clip_norm: the largest magnitude of an entry of a gradient.
        lrd: factor of the learning rate at each step, the first one too.
        subsample_aware: update parameters that live inside a subsampled plate (whose attribute `_pyro_subsample`
            maps negative dimensions to indices), and their running means, only where the subsample has data.

    Example:
        >>> x = torch.linspace(1.0, 2.0, 8).requires_grad_()
        >>> x._pyro_dct_dim = -1
        >>> optimizer = DCTAdam([x], lr=0.05)
        >>> for _ in range(100):
        ...     optimizer.zero_grad()
        ...     (x**2).sum().backward()
        ...     optimizer.step()
        >>> bool(x.abs().max() < 0.1)
        True
    """

    def __init__(
        self,
        params: Any,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        clip_norm: float = 10.0,
        lrd: float = 1.0,
        subsample_aware: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "clip_norm": clip_norm,
            "lrd": lrd,
            "subsample_aware": subsample_aware,
        }
        super().__init__(params, defaults)

    def _before_group(self, group: dict[str, Any]) -> None:
        group["lr"] *= group["lrd"]

    def _step_group(self, group: dict[str, Any], params: list[torch.Tensor]) -> None:
        for param in params:
            assert param.grad is not None
            grad = param.grad.clamp(-group["clip_norm"], group["clip_norm"])
            subsample = getattr(param, "_pyro_subsample", None) if group["subsample_aware"] else None
            by_entry = isinstance(self.state[param].get("step"), torch.Tensor)
            if subsample or by_entry:
                self._step_subsample(group, param, grad, subsample or {})
            else:
                self._step_whole(group, param, grad)

    def _step_whole(self, group: dict[str, Any], param: torch.Tensor, grad: torch.Tensor) -> None:
        """Step every entry, in both domains where there is a time dimension."""
        dim = getattr(param, "_pyro_dct_dim", None)
        if dim is not None:
            grad = torch.cat([grad, dct(grad, dim=dim)], dim=dim)
        state = self.state[param]
        if not state:
            state.update(step=0, exp_avg=torch.zeros_like(grad), exp_avg_sq=torch.zeros_like(grad))
        state["step"] += 1
        mean, square, count = state["exp_avg"], state["exp_avg_sq"], state["step"]
        beta1, beta2 = group["betas"]
        mean.mul_(beta1).add_(grad, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        size = group["lr"] * math.sqrt(1 - beta2**count) / (1 - beta1**count)
        move = size * mean / (square.sqrt() + group["eps"])
        if dim is not None:
            in_time, in_frequency = move.chunk(2, dim=dim)
            move = in_time + idct(in_frequency, dim=dim)
        param.sub_(move)

    def _step_subsample(
        self, group: dict[str, Any], param: torch.Tensor, grad: torch.Tensor, subsample: Mapping[int, torch.Tensor]
    ) -> None:
        """Step only the entries that the subsample holds; each entry counts its own steps."""
        if getattr(param, "_pyro_dct_dim", None) is not None:
            raise OptionError(
                "a parameter with a time dimension cannot be optimised subsample-aware",
                expected="a parameter without the attribute _pyro_dct_dim",
                got=f"_pyro_dct_dim={param._pyro_dct_dim}, subsampled dimensions {sorted(subsample)}",  # type: ignore[attr-defined]
                hint="DCTAdam({'subsample_aware': False})",
            )
        state = self.state[param]
        if not state:
            state.update(exp_avg=torch.zeros_like(param), exp_avg_sq=torch.zeros_like(param), step=0)
        if not isinstance(state["step"], torch.Tensor):
            state["step"] = torch.full_like(param, state["step"])
        index = _open_mesh(param, subsample)
        grad = grad[index]
        beta1, beta2 = group["betas"]
        count = state["step"][index] + 1
        mean = beta1 * state["exp_avg"][index] + (1 - beta1) * grad
        square = beta2 * state["exp_avg_sq"][index] + (1 - beta2) * grad * grad
        state["step"][index], state["exp_avg"][index], state["exp_avg_sq"][index] = count, mean, square
        size = group["lr"] * (1 - beta2**count).sqrt() / (1 - beta1**count)
        param[index] = param[index] - size * mean / (square.sqrt() + group["eps"])


def _open_mesh(param: torch.Tensor, subsample: Mapping[int, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return one index tensor a dimension that together pick the subsampled block."""
    index = []
    for dim in range(-param.dim(), 0):
        along = subsample.get(dim)
        along = torch.arange(param.size(dim), device=param.device) if along is None else along
        index.append(along.reshape((-1,) + (1,) * (-1 - dim)))
    return tuple(index)
