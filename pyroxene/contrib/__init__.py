"""Applications, each written as a user would write it, on the public face of the package."""

from __future__ import annotations

__all__: list[str] = []
