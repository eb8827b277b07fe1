"""Helpers for rows of torch's continuous distributions: extending a formula beyond the support, values of scipy's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from pyroxene.distributions.tails.registry import Function, Tails, register_tails

__all__ = ["on_positive", "register_unit", "scipy_values", "standardised"]

Tensor = torch.Tensor


def standardised(d: Any, value: Tensor) -> Tensor:
    """Return the value in units of a distribution's scale from its location."""
    return (value - d.loc) / d.scale


def on_positive(
    log_cdf: Function, log_survival: Function, end: Callable[[Any], Tensor | float] = lambda d: 0.0
) -> tuple[Function, Function]:
    """Extend functions above the end of a support to all reals: nothing lies below."""

    def extend(function: Function, outside: float) -> Function:
        def extended(d: Any, value: Tensor) -> Tensor:
            inside = value > end(d)
            safe = torch.where(inside, value, end(d) + torch.ones_like(value))
            return torch.where(inside, function(d, safe), outside)

        return extended

    return extend(log_cdf, -math.inf), extend(log_survival, 0.0)


def scipy_values(function: Callable[..., Any], *args: Tensor) -> Tensor:
    """Evaluate a function of scipy's, without gradients."""
    like = torch.broadcast_tensors(*args)[0]
    result = function(*(a.detach().to("cpu", torch.float64).numpy() for a in args))
    return torch.as_tensor(result).to(like).reshape(like.shape)


def _below_one(function: Function, outside: float) -> Function:
    """A function on the unit interval extended to values of 1 and more."""

    def extended(d: Any, value: Tensor) -> Tensor:
        inside = value < 1
        return torch.where(inside, function(d, torch.where(inside, value, 0.5)), outside)

    return extended


def register_unit(cls: type, log_cdf: Function, log_survival: Function, *more: Any, **named: Any) -> None:
    """Register a class over the unit interval."""
    tails = on_positive(_below_one(log_cdf, 0.0), _below_one(log_survival, -math.inf))
    register_tails(cls, Tails(*tails, *more, **named))
