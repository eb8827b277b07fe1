"""What an eager step showed of a program, and what keeps any other engine from making its steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from pyroxene.errors import CaptureError
from pyroxene.params import get_param_store

__all__ = ["EagerStep", "Subset", "are_stepped", "in_store"]

FEW = 100_000
"""More parameters are a network's: a step's time may be in large products, which PyTorch does as well."""


@dataclass(frozen=True)
class Subset:
    """A plate that draws `count` of its `size` indices at each step; final."""

    name: str
    size: int
    count: int


@dataclass(frozen=True)
class EagerStep:
    """What an eager step showed; final.

    Attributes:
        names: of the param statements, with the leaf that each reads.
        reached: the leaves that got a gradient.
        drawn: the plates that drew indices, with their sizes and the indices.
        seconds: what the step took.
    """

    names: dict[str, torch.Tensor]
    reached: list[torch.Tensor]
    drawn: dict[str, tuple[int, torch.Tensor]]
    seconds: float

    @property
    def params(self) -> list[torch.Tensor]:
        """The leaves, each once, as the optimiser gets them."""
        return list({id(leaf): leaf for leaf in self.names.values()}.values())

    @property
    def has_network(self) -> bool:
        """Whether torch modules, or so many parameters as those have, are among what is optimised."""
        return any("$$$" in name for name in self.names) or sum(leaf.numel() for leaf in self.reached) > FEW

    def subsets(self) -> list[Subset]:
        """Return the plates that draw indices."""
        return [Subset(name, size, len(indices)) for name, (size, indices) in self.drawn.items()]

    def refuse(self) -> None:
        """Raise where steps on any other engine would not do what eager ones do.

        Raises:
            CaptureError: no parameter has a gradient, or somebody is told of gradients.
        """
        if any(map(_is_watched, self.reached)):
            raise CaptureError("a hook is registered on a parameter, to be called with its gradient")
        if not self.reached:
            raise CaptureError("no parameter has a gradient")


def are_stepped(leaves: Iterable[torch.Tensor]) -> bool:
    """Say whether parameters may be stepped: none is frozen, and nobody watches gradients."""
    return all(leaf.requires_grad and not _is_watched(leaf) for leaf in leaves)


def in_store(names: dict[str, torch.Tensor]) -> bool:
    """Say whether the parameter store still has these leaves under these names."""
    store = get_param_store()
    return all(store.leaf(name) is leaf for name, leaf in names.items())


def _is_watched(leaf: torch.Tensor) -> bool:
    return bool(leaf._backward_hooks) or bool(getattr(leaf, "_post_accumulate_grad_hooks", None))
