"""Steps of stochastic variational inference as machine code: loss, gradient, noise and optimiser in one loop in C."""

from __future__ import annotations

__all__: list[str] = []
