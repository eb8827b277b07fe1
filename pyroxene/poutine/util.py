"""Questions about sites, and the validation switch of this room."""

from __future__ import annotations

from typing import Any

from pyroxene import settings
from pyroxene.poutine.handlers.branching import all_escape, discrete_escape, enum_extend, mc_extend
from pyroxene.poutine.trace_struct import Trace, site_is_subsample

__all__ = [
    "all_escape",
    "discrete_escape",
    "enable_validation",
    "enum_extend",
    "is_validation_enabled",
    "mc_extend",
    "prune_subsample_sites",
    "site_is_factor",
    "site_is_subsample",
]


def enable_validation(is_validate: bool) -> None:
    """Switch the checks of names and traces on or off."""
    settings.set(validate_poutine=is_validate)


def is_validation_enabled() -> bool:
    """Say whether names and traces are checked."""
    enabled: bool = settings.value_of("validate_poutine")
    return enabled


def site_is_factor(site: Any) -> bool:
    """Say whether a site is a `factor` statement."""
    return site["type"] == "sample" and type(site["fn"]).__name__ == "Unit"


def prune_subsample_sites(trace: Trace) -> Trace:
    """Return a copy of a trace without the plates' draws of indices."""
    pruned = trace.copy()
    for name, site in trace.nodes.items():
        if site_is_subsample(site):
            pruned.remove_node(name)
    return pruned
