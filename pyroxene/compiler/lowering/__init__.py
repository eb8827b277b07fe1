"""From PyTorch's operations to those of the graph: one table, filled by one file for each kind of operation."""

from __future__ import annotations

from pyroxene.compiler.lowering import algebraic, indexing, pointwise, reductions
from pyroxene.compiler.lowering.call import RULES, Call, Rule

__all__ = ["RULES", "Call", "Rule"]

assert all(module.__name__ for module in (algebraic, indexing, pointwise, reductions))  # imported for their rules
