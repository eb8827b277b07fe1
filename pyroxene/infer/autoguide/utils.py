"""Attributes with dotted paths, and parameters at the full size of subsampled plates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.distributions.transforms import Transform

from pyroxene.density import helpful_support_errors
from pyroxene.errors import UsageError
from pyroxene.nn import PyroModule
from pyroxene.ops.tensor_utils import periodic_repeat
from pyroxene.poutine.message import CondIndepStackFrame

__all__ = [
    "_product",
    "check_init_scale",
    "deep_getattr",
    "deep_setattr",
    "full_size",
    "full_size_value",
    "helpful_support_errors",
    "is_subsampled",
    "levels_of",
]


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
    """Return a parameter or submodule by a dotted path.

    Modules are asked by `__getattr__`, which does not know the class's own names: a site may be called "type".

    Args:
        obj: a torch module.
        key: the path.
    """
    if "." in key:
        *path, key = key.split(".")
        for part in path:
            obj = obj.__getattr__(part)
    return obj.__getattr__(key)


def _product(shape: Iterable[int]) -> int:
    """Return the number of elements of a shape."""
    return math.prod(shape)


def full_size(frame: CondIndepStackFrame) -> int:
    """Return how many members a plate has, drawn or not."""
    return frame.size if frame.full_size is None else frame.full_size


def is_subsampled(frame: CondIndepStackFrame) -> bool:
    """Say whether a site saw only some of its plate's members."""
    return full_size(frame) != frame.size


def full_size_value(value: torch.Tensor, site: Mapping[str, Any], event_dim: int) -> torch.Tensor:
    """Repeat a value that was seen on a subsample, to the full size of the site's plates.

    Args:
        value: shape batch_shape + event shape, of the subsample.
        site: the site's message.
        event_dim: how many dimensions of `value` are event dimensions.
    """
    for frame in site["cond_indep_stack"]:
        if frame.vectorized and is_subsampled(frame):
            value = periodic_repeat(value, full_size(frame), frame.dim - event_dim).contiguous()
    return value


def check_init_scale(guide: str, init_scale: float) -> None:
    """Refuse a first standard deviation that is not positive.

    Raises:
        UsageError: (a ValueError) names the guide.
    """
    if isinstance(init_scale, bool) or not isinstance(init_scale, (int, float)) or not init_scale > 0:
        raise UsageError(
            f"{guide} starts at a standard deviation",
            expected="init_scale > 0.0",
            got=init_scale,
            hint="init_scale=0.1, in unconstrained space",
        )


def levels_of(quantiles: Iterable[float], transform: Transform, loc: torch.Tensor) -> torch.Tensor:
    """Return the probabilities in unconstrained space that belong to quantiles on a support.

    Args:
        quantiles: probabilities.
        transform: to the support; where it decreases, as below an upper bound, a low quantile comes from a high level.
        loc: of the unconstrained variable.

    Returns:
        shape (len(quantiles), 1, ..., 1), one dimension more than `loc`.

    Raises:
        UsageError: (a ValueError) a quantile is not within [0, 1].
    """
    levels = torch.as_tensor(list(quantiles), dtype=loc.dtype, device=loc.device)
    if not bool(((levels >= 0) & (levels <= 1)).all()):
        raise UsageError("quantiles are probabilities", expected="numbers within [0, 1]", got=levels.tolist())
    levels = levels.reshape((-1,) + (1,) * loc.dim())
    try:
        sign = torch.as_tensor(transform.sign)
    except NotImplementedError:  # not monotone, as to the simplex
        return levels
    return torch.where(sign < 0, 1 - levels, levels)
