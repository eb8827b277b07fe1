"""Indices that are tensors of one element: torch reads such a number on the host, which a recording cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["without_host_read"]


def without_host_read(index: Any, is_unknown: Callable[[torch.Tensor], bool]) -> tuple[Any, int] | None:
    """Return an index that keeps its numbers in tensors, and the dimension of size one that it leaves behind.

    Inside a step of a scan, where `t` is the step's element of a tensor of integers, `table[t]`, `table[:, t]` and
    `table[s, t]` are such.

    Args:
        index: what stands between the brackets.
        is_unknown: whether a tensor's values are known only when the recorded program runs.

    Returns:
        None where the index holds no such number, or something else with it.
    """
    items = index if isinstance(index, tuple) else (index,)
    numbers = [place for place, item in enumerate(items) if _is_number(item)]
    if not any(is_unknown(items[place]) for place in numbers):
        return None
    adjacent = numbers == list(range(numbers[0], numbers[-1] + 1))
    others = [item for place, item in enumerate(items) if place not in numbers]
    if not adjacent or not all(item is None or isinstance(item, slice) for item in others):
        return None
    return tuple(item.reshape(1) if _is_number(item) else item for item in items), numbers[0]


def _is_number(item: Any) -> bool:
    if not isinstance(item, torch.Tensor) or item.dim() or item.dtype == torch.bool:
        return False
    return not item.is_floating_point() and not item.is_complex()
