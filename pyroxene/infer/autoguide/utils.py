"""Attributes with dotted paths, and parameters at the full size of subsampled plates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from pyroxene.density import helpful_support_errors
from pyroxene.nn import PyroModule
from pyroxene.ops.tensor_utils import periodic_repeat

__all__ = ["_product", "deep_getattr", "deep_setattr", "full_size_value", "helpful_support_errors"]


def deep_setattr(obj: Any, key: str, val: Any) -> None:
    """Set an attribute by a dotted path; the modules on the way are made where they are missing.

    Args:
        obj: a PyroModule.
        key: the path, as in "encoder.scale".
        val: the value.
    """
    *path, leaf = key.split(".")
    for part in path:
        try:
            obj = getattr(obj, part)
        except AttributeError:
            setattr(obj, part, PyroModule())
            obj = getattr(obj, part)
    setattr(obj, leaf, val)


def deep_getattr(obj: Any, key: str) -> Any:
    """Return an attribute by a dotted path."""
    for part in key.split("."):
        obj = getattr(obj, part)
    return obj


def _product(shape: Iterable[int]) -> int:
    """Return the number of elements of a shape."""
    return math.prod(shape)


def full_size_value(value: torch.Tensor, site: Mapping[str, Any], event_dim: int) -> torch.Tensor:
    """Repeat a value that was seen on a subsample, to the full size of the site's plates.

    Args:
        value: shape batch_shape + event shape, of the subsample.
        site: the site's message.
        event_dim: how many dimensions of `value` are event dimensions.
    """
    for frame in site["cond_indep_stack"]:
        full = frame.size if frame.full_size is None else frame.full_size
        if frame.vectorized and full != frame.size:
            value = periodic_repeat(value, full, frame.dim - event_dim).contiguous()
    return value
