"""A model as a pure function: its structure, the flat unconstrained vector, starting points, the log density."""

from __future__ import annotations

from pyroxene.density.compiled import CompiledDensity
from pyroxene.density.explain import Explanation, explain
from pyroxene.density.initialization import (
    InitMessenger,
    init_to_feasible,
    init_to_generated,
    init_to_mean,
    init_to_median,
    init_to_sample,
    init_to_uniform,
    init_to_value,
)
from pyroxene.density.layout import Layout, Slot, helpful_support_errors
from pyroxene.density.log_density import LogDensity, log_density
from pyroxene.density.structure import Structure, trace_structure

__all__ = [
    "CompiledDensity",
    "Explanation",
    "InitMessenger",
    "Layout",
    "LogDensity",
    "Slot",
    "Structure",
    "explain",
    "helpful_support_errors",
    "init_to_feasible",
    "init_to_generated",
    "init_to_mean",
    "init_to_median",
    "init_to_sample",
    "init_to_uniform",
    "init_to_value",
    "log_density",
    "trace_structure",
]
