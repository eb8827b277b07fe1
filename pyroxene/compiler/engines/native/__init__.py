"""The native engine: a graph emitted as C, built by the system's compiler, kept on disk by content."""

from __future__ import annotations

__all__: list[str] = []
