"""Rebuilds a graph node by node, so that a pass is one function that says what becomes of a node."""

from __future__ import annotations

from collections.abc import Callable

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Graph, Node, verify

__all__ = ["Rewrite", "rewrite"]

Rewrite = Callable[[Builder, Node, tuple[Node, ...]], Node | None]
"""(builder, a node of the old graph, its inputs in the new one) -> what it becomes; None for the same operation."""


def rewrite(graph: Graph, rule: Rewrite) -> Graph:
    """Return a graph in which each node is what a rule makes of it; dead nodes are left behind. Verified.

    Args:
        graph: the old graph, which is unchanged but for new slots of data.
        rule: what becomes of a node.
    """
    b = Builder(graph.data)
    b.adopt(graph.inputs)
    new: dict[int, Node] = {}
    for node in graph.nodes():
        if not node.inputs:
            b.remember(node)
            new[id(node)] = node
            continue
        inputs = tuple([new[id(source)] for source in node.inputs])
        b.note, b.source = node.note, node.source
        replaced = rule(b, node, inputs)
        new[id(node)] = b.rebuild(node, inputs) if replaced is None else replaced
    rebuilt = b.graph([new[id(node)] for node in graph.outputs])
    verify(rebuilt)
    return rebuilt
