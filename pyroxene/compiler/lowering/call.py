"""One recorded call of a PyTorch operation, and the table of rules that turn calls into nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Node

__all__ = ["RULES", "Call", "Rule", "rule"]


@dataclass
class Call:
    """What a rule knows besides the arguments; final.

    Attributes:
        b: makes nodes.
        out: what PyTorch returned on real tensors: shapes and dtypes are read off it, values never.
    """

    b: Builder
    out: Any

    @property
    def kind(self) -> str:
        """The kind of the (first) result."""
        first = self.out if isinstance(self.out, torch.Tensor) else self.out[0]
        return "f" if first.is_floating_point() else "b" if first.dtype == torch.bool else "i"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the (first) result."""
        first = self.out if isinstance(self.out, torch.Tensor) else self.out[0]
        return tuple(first.shape)

    def number(self, value: Node | float, kind: str | None = None) -> Node:
        """Return a node of a kind, of a node or number; the call's kind where not given."""
        kind = kind or self.kind
        if not isinstance(value, Node):
            return self.b.literal(value, kind)
        if value.kind == kind:
            return value
        return self.b({"f": "as_float", "i": "as_int", "b": "as_bool"}[kind], value)

    def full(self, value: float, shape: tuple[int, ...] | None = None) -> Node:
        """Return one number everywhere."""
        return self.b.expand(self.b.literal(value, self.kind), self.shape if shape is None else shape)


Rule = Callable[..., Any]
"""(call, *args, **kwargs) -> a node for each result; tensors among the arguments are nodes."""

RULES: dict[str, Rule] = {}
"""By the operation's name, "add" for every overload of aten::add; a name with "_" at its end uses the same rule."""


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule under names of operations."""

    def register(function: Rule) -> Rule:
        for name in names:
            assert name not in RULES, name
            RULES[name] = function
        return function

    return register
