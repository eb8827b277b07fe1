"""Distributions of our own, by kinship: one idea a file."""

from __future__ import annotations

__all__: list[str] = []
