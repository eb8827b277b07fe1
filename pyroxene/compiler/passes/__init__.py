"""What makes a graph smaller before it is emitted: one idea a file."""

from __future__ import annotations

__all__: list[str] = []
