"""Names for the types that signatures repeat; holds no behaviour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import torch

__all__ = ["Model", "P", "Parameters", "R", "TensorDict"]

P = ParamSpec("P")
R = TypeVar("R")

Model = Callable[..., Any]
"""A model or guide: any callable that makes sample and param statements."""

TensorDict = dict[str, torch.Tensor]
"""Values by site name."""

Parameters = Mapping[str, torch.Tensor]
"""Parameters by name; unconstrained unless said otherwise."""
