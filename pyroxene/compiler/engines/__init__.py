"""What runs a captured function: native machine code, torch.compile, or eager PyTorch, the reference."""

from __future__ import annotations

__all__: list[str] = []
