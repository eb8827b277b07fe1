"""What distributions that torch makes by transforms have in common."""

from __future__ import annotations

from typing import Any

from torch.distributions import transforms as torchtransforms

from pyroxene.distributions.adoption import AdoptsBase
from pyroxene.distributions.torch_distribution import TorchDistributionMixin

__all__ = ["TransformedMixin", "clear_cache"]


class TransformedMixin(AdoptsBase, TorchDistributionMixin):
    """Abstract: adds pyroxene's methods to a torch distribution made by transforms of another."""

    transforms: list[Any]

    def clear_cache(self) -> None:
        """Forget the values that transforms cache for their inverses, as after a change of their parameters."""
        for transform in self.transforms:
            clear_cache(transform)


def clear_cache(transform: Any) -> None:
    """Clear a transform's cache and those of the transforms it is made of."""
    own = getattr(transform, "clear_cache", None)
    if own is not None:
        own()
        return
    if isinstance(transform, torchtransforms._InverseTransform):
        clear_cache(transform.inv)
        return
    transform._cached_x_y = None, None
    parts = getattr(transform, "parts", None) or getattr(transform, "transforms", None) or []
    if isinstance(transform, torchtransforms.IndependentTransform):
        parts = [transform.base_transform]
    for part in parts:
        clear_cache(part)
