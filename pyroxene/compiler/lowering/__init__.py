"""From PyTorch's operations to those of the graph: one table, filled by one file for each kind of operation."""

from __future__ import annotations

from pyroxene.compiler.lowering import algebraic, indexing, masks, pointwise, reductions
from pyroxene.compiler.lowering.call import RULES, Call, Rule

__all__ = ["RULES", "Call", "Rule"]

_IMPORTED = (algebraic, indexing, masks, pointwise, reductions)
assert all(module.__name__ for module in _IMPORTED)  # imported for their rules
