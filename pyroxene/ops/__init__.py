"""Tensor mathematics: pure functions of tensors that know nothing of probability programs."""

from __future__ import annotations

__all__: list[str] = []
