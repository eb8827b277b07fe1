"""Transforms that are torch modules, so that their parameters are found and learnt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.transforms import ComposeTransform, Transform

__all__ = ["ComposeTransformModule", "TransformModule"]


def _without_cache(state: dict[str, Any]) -> dict[str, Any]:
    """Return a transform's state without cached values, which may hold a graph and cannot be copied then."""
    if "_cached_x_y" in state:
        state["_cached_x_y"] = None, None
    return state


class TransformModule(Transform, torch.nn.Module):
    """Abstract: a transform with learnable parameters.

    Args:
        cache_size: 1 keeps the last pair of values, 0 none.

    Implementing a TransformModule: set `domain`, `codomain` and `bijective`; create parameters in `__init__` after
    `super().__init__()`; define `_call`, `_inverse` where there is one, and `log_abs_det_jacobian`, all of them pure.
    """

    def __init__(self, cache_size: int = 0) -> None:
        torch.nn.Module.__init__(self)
        Transform.__init__(self, cache_size=cache_size)

    def __getstate__(self) -> dict[str, Any]:
        return _without_cache(super().__getstate__())

    def __hash__(self) -> int:
        return torch.nn.Module.__hash__(self)


class ComposeTransformModule(ComposeTransform, torch.nn.ModuleList):
    """A chain of transforms whose modules are registered, under their position in the chain; final.

    Args:
        parts: transforms, applied first to last; those that are modules are registered.
        cache_size: 1 keeps the last pair of values of each part, 0 none.

    Example:
        >>> from torch.distributions.transforms import ExpTransform
        >>> chain = ComposeTransformModule([ExpTransform()])
        >>> chain(torch.zeros(2)), list(chain.parameters())
        (tensor([1., 1.]), [])
    """

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        torch.nn.ModuleList.__init__(self)
        ComposeTransform.__init__(self, list(parts), cache_size=cache_size)
        for part in self.parts:
            if isinstance(part, torch.nn.Module):
                self.append(part)

    def __hash__(self) -> int:
        return torch.nn.Module.__hash__(self)

    def with_cache(self, cache_size: int = 1) -> ComposeTransformModule:
        """Return this chain with parts that cache; itself where nothing changes."""
        return self if self._cache_size == cache_size else ComposeTransformModule(self.parts, cache_size=cache_size)
