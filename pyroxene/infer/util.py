"""What several algorithms share: numbers out of tensors, gradients, sums over plates, the validation switch."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from pyroxene import settings
from pyroxene.distributions.util import broadcast_shape
from pyroxene.poutine.message import CondIndepStackFrame

__all__ = [
    "MultiFrameTensor",
    "enable_validation",
    "get_plate_stacks",
    "is_validation_enabled",
    "optional",
    "torch_backward",
    "torch_exp",
    "torch_item",
    "total",
    "validation_enabled",
    "zero_grads",
]

Stack = tuple[CondIndepStackFrame, ...]


def enable_validation(is_validate: bool) -> None:
    """Switch the checks that model and guide fit, and of shapes, on or off."""
    settings.set(validate_infer=is_validate)


def is_validation_enabled() -> bool:
    """Say whether model, guide and shapes are checked."""
    enabled: bool = settings.value_of("validate_infer")
    return enabled


@contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Switch the checks of model, guide and shapes on or off inside a block."""
    with settings.context(validate_infer=is_validate):
        yield


def optional(context_manager: AbstractContextManager[Any], condition: object) -> AbstractContextManager[Any]:
    """Return a context manager where a condition holds, and one that does nothing elsewhere.

    Args:
        context_manager: entered where the condition holds.
        condition: anything with a truth value.
    """
    return context_manager if condition else nullcontext()


def torch_item(x: Any) -> Any:
    """Return a number: of a tensor with one element its value, a number itself."""
    return x if isinstance(x, numbers.Number) else x.item()


def torch_backward(x: Any, retain_graph: bool | None = None) -> None:
    """Compute gradients of a scalar tensor; nothing where it is a number or needs none."""
    if torch.is_tensor(x) and x.requires_grad:
        x.backward(retain_graph=retain_graph)


def torch_exp(x: Any) -> Any:
    """Return e**x of a number or tensor."""
    return torch.exp(x) if torch.is_tensor(x) else math.exp(x)


def total(terms: Iterable[Any]) -> Any:
    """Return the sum of scalar tensors, in one operation where there are several; the number 0.0 of none."""
    values = list(terms)
    if len(values) < 3:
        return sum(values) if values else 0.0
    device = values[0].device
    if any(value.device != device for value in values):
        return sum(values)  # a scalar on the CPU adds to one on a GPU, but does not stack with it
    return torch.stack(values).sum()


def zero_grads(tensors: Iterable[torch.Tensor]) -> None:
    """Set the gradients of leaf tensors to zero, where they have one.

    Zero, not None: an optimiser with momentum goes on moving a parameter that a step did not reach, as Pyro's do.
    """
    for tensor in tensors:
        if tensor.grad is not None:
            tensor.grad = torch.zeros_like(tensor.grad)


def get_plate_stacks(trace: Any) -> dict[str, Stack]:
    """Return each sample site's vectorised plates, by site name."""
    return {
        name: tuple(frame for frame in site["cond_indep_stack"] if frame.vectorized)
        for name, site in trace.nodes.items()
        if site["type"] == "sample" and not getattr(type(site["fn"]), "is_subsample", False)
    }


class MultiFrameTensor(dict[Stack, torch.Tensor]):
    """Tensors by the plates they vary over, to be summed down to fewer plates; final.

    Example:
        >>> frame = CondIndepStackFrame("rows", -1, 3, 0)
        >>> costs = MultiFrameTensor(((frame,), torch.ones(3)), ((), torch.tensor(2.0)))
        >>> costs.sum_to(()), costs.sum_to((frame,))
        (tensor(5.), tensor([3., 3., 3.]))
    """

    def __init__(self, *items: tuple[Stack, torch.Tensor]) -> None:
        super().__init__()
        self.add(*items)

    def add(self, *items: tuple[Stack, torch.Tensor]) -> None:
        """Add tensors, each with the stack of plates it varies over."""
        for stack, value in items:
            frames = tuple(frame for frame in stack if frame.vectorized)
            for frame in frames:
                dim = frame.dim
                assert dim is not None
                if dim < -value.dim() or value.size(dim) == 1:
                    value = value.expand(broadcast_shape(value.shape, (frame.size,) + (1,) * (-dim - 1)))
            self[frames] = self[frames] + value if frames in self else value

    def sum_to(self, target_frames: Stack) -> torch.Tensor | None:
        """Return the sum of all tensors, each summed over the plates that are not in `target_frames`; None of none."""
        total: torch.Tensor | None = None
        for frames, value in self.items():
            for frame in frames:
                if frame not in target_frames and value.dim() >= -frame.dim:  # type: ignore[operator]
                    value = value.sum(frame.dim, keepdim=True)
            while value.dim() and value.size(0) == 1:
                value = value.squeeze(0)
            total = value if total is None else total + value
        return total
