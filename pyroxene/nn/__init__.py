"""Modules whose attributes are parameters or random variables, and networks for flows and amortised guides."""

from __future__ import annotations

from pyroxene.nn.attributes import PyroParam, PyroSample
from pyroxene.nn.context import pyro_method
from pyroxene.nn.module import PyroModuleList
from pyroxene.nn.pyro_module import PyroModule
from pyroxene.ops.networks import (
    AutoRegressiveNN,
    ConditionalAutoRegressiveNN,
    ConditionalDenseNN,
    DenseNN,
    MaskedLinear,
)

__all__ = [
    "AutoRegressiveNN",
    "ConditionalAutoRegressiveNN",
    "ConditionalDenseNN",
    "DenseNN",
    "MaskedLinear",
    "PyroModule",
    "PyroModuleList",
    "PyroParam",
    "PyroSample",
    "pyro_method",
]
