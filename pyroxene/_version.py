"""The version, read by the package and by the build."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
