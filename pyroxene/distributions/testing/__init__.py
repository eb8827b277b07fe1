"""Distributions and checks for tests of inference algorithms."""

from __future__ import annotations

__all__: list[str] = []
