"""Handlers that weigh log densities: scale and mask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pyroxene.errors import OptionError, UsageError
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger

__all__ = ["MaskMessenger", "ScaleMessenger", "mask", "scale"]


class ScaleMessenger(Messenger):
    """Multiplies log densities; final. See `scale`."""

    def __init__(self, scale: float | torch.Tensor) -> None:
        super().__init__()
        if not isinstance(scale, torch.Tensor) and not isinstance(scale, (int, float)):
            raise OptionError("scale takes a number or a tensor", expected="scale > 0", got=scale, hint="scale=2.0")
        if not bool((torch.as_tensor(scale) > 0).all()):
            raise UsageError(
                "scale must be positive",
                expected="scale > 0",
                got=scale,
                hint="poutine.mask(mask=False) to leave sites out, poutine.block to hide them",
            )
        self.scale = scale

    def _process_message(self, msg: Message) -> None:
        msg["scale"] = self.scale * msg["scale"]


class MaskMessenger(Messenger):
    """Leaves parts of log densities out; final. See `mask`."""

    def __init__(self, mask: bool | torch.Tensor) -> None:
        super().__init__()
        if not isinstance(mask, bool) and not (isinstance(mask, torch.Tensor) and mask.dtype == torch.bool):
            raise UsageError(
                "mask takes a bool or a tensor of bools",
                expected="mask: bool or torch.BoolTensor",
                got=mask,
                hint="mask.bool()",
            )
        self.mask = mask

    def _process_message(self, msg: Message) -> None:
        before = msg["mask"]
        msg["mask"] = self.mask if before is None else before & self.mask


@_make_handler(ScaleMessenger)
def scale(fn: Callable[..., Any], scale: float | torch.Tensor) -> Any:
    """Multiply the log densities of a model's sites.

    Args:
        fn: a model.
        scale: a positive number, or a tensor that broadcasts with the sites' batch shapes.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> model = lambda: pyroxene.sample("x", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))
        >>> trace = pyroxene.poutine.trace(scale(model, scale=10.0)).get_trace()
        >>> round(trace.log_prob_sum().item(), 3)
        -9.189
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(MaskMessenger)
def mask(fn: Callable[..., Any], mask: bool | torch.Tensor) -> Any:
    """Count a model's log densities only where a mask is True.

    Args:
        fn: a model.
        mask: a bool, or a bool tensor that broadcasts with the sites' batch shapes.
    """
    raise AssertionError("replaced by the decorator")
