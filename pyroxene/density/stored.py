"""A log density that has left its model behind: what a compiled density carries into another process."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from pyroxene.density.layout import Layout
from pyroxene.errors import UsageError

__all__ = ["StoredDensity", "without_model"]


@dataclass(frozen=True)
class StoredDensity:
    """The layout of a density whose model could not be pickled; final. What needs the model raises.

    Attributes:
        layout: where each latent site lives in z.
        data: empty; the compiled function holds the data.
    """

    layout: Layout
    data: Mapping[str, Any]

    @property
    def dim(self) -> int:
        """The length of z."""
        return self.layout.dim

    @property
    def device(self) -> torch.device:
        """The processor, where machine code runs."""
        return torch.device("cpu")

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Raise: the model is not here."""
        self._refuse("evaluated in PyTorch")

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Raise: the model is not here."""
        self._refuse("evaluated in PyTorch")

    def initial_point(self, strategy: Callable[[Any], Any] | None = None, rng: int | None = None) -> torch.Tensor:
        """Raise: the model is not here."""
        self._refuse("asked for a starting point")

    def with_data(self, **new: Any) -> StoredDensity:
        """Raise: the model is not here."""
        self._refuse("given other data")

    def _refuse(self, what: str) -> NoReturn:
        raise UsageError(
            f"a density that was pickled without its model cannot be {what}",
            expected="the density that was compiled, or a model that pickles",
            got="a density from another process",
            hint="define the model at the top of a module, so that it pickles, or compile it here",
        )


def without_model(density: Any) -> Any:
    """Return a density as it can be pickled: itself, or its layout alone where its model (a closure, say) cannot."""
    try:
        pickle.dumps(density)
    except (pickle.PicklingError, AttributeError, TypeError):
        return StoredDensity(density.layout, {})
    return density
