"""Reverse mode on graphs: one rule for each operation, one kind of operation a file."""

from __future__ import annotations

from pyroxene.compiler.adjoint.reverse import value_and_gradient

__all__ = ["value_and_gradient"]
