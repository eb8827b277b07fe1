"""Modules that are imported when they are first used: scipy's cost a quarter of a second each."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Lazily"]


class Lazily:
    """Stands for a module; final.

    Args:
        name: of the module.

    Example:
        >>> special = Lazily("scipy.special")
        >>> float(special.expit(0.0))
        0.5
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
