"""What the engines of SVI have in common: steps of one program, made several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy
import torch

from pyroxene.infer.arguments import Arguments

__all__ = ["Steps"]


class Steps(Protocol):
    """Abstract. Steps of one model, guide, estimator and optimiser on arguments of one structure.

    Attributes:
        names: of the param statements, with the leaf that each reads.
        arguments: those that it was made with.
        is_torch_s: whether a seed gives the random numbers of eager PyTorch.
        reason: what stays on eager PyTorch, and why; else empty.
    """

    names: dict[str, torch.Tensor]
    arguments: Arguments
    is_torch_s: bool
    reason: str

    @property
    def is_current(self) -> bool:
        """Whether the optimiser still steps what it did when this was made, and nobody watches or stops gradients."""

    def covers(self, changed: Sequence[int]) -> bool:
        """Say whether the arguments at some positions may have other numbers."""

    def begin(self, arguments: Arguments, losses: numpy.ndarray) -> None:
        """Make ready for steps: read options, arguments and torch's generator.

        Args:
            arguments: of the structure that this was made for.
            losses: where each step's loss goes.
        """

    def advance(self, count: int) -> None:
        """Make steps; torch's tensors hold the result."""

    def end(self) -> int:
        """Leave all as eager steps would; return how many steps were made."""
