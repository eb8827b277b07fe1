"""A pure tensor function becomes native code; knows tensors and graphs, never sites or plates."""

from __future__ import annotations

__all__: list[str] = []
