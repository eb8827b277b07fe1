"""Rebuilds a graph node by node, so that a pass is one function that says what becomes of a node."""

from __future__ import annotations

from collections.abc import Callable

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Body, Graph, Node, verify

__all__ = ["Rewrite", "renumbered", "rewrite"]

Rewrite = Callable[[Builder, Node, tuple[Node, ...]], Node | None]
"""(builder, a node of the old graph, its inputs in the new one) -> what it becomes; None for the same operation."""


def rewrite(graph: Graph, rule: Rewrite) -> Graph:
    """Return a graph in which each node is what a rule makes of it; dead nodes are left behind. Verified.

    Args:
        graph: the old graph, which is unchanged but for new slots of data.
        rule: what becomes of a node.
    """
    rebuilt = _rewritten(graph, rule, {})
    verify(rebuilt)
    return rebuilt


def _rewritten(graph: Graph, rule: Rewrite, bodies: dict[int, Body]) -> Graph:
    b = Builder(graph.data)
    b.adopt(graph.inputs)
    new: dict[int, Node] = {}
    for node in graph.nodes():
        if not node.inputs:
            b.remember(node)
            new[id(node)] = b.literal(node.attributes[0], node.kind) if node.op == "literal" else node
            continue
        inputs = tuple([new[id(source)] for source in node.inputs])
        b.note, b.source = node.note, node.source
        replaced = rule(b, node, inputs)
        if replaced is None and node.op == "scan":
            body, length, reverse = node.attributes
            inner = bodies.get(id(body))
            if inner is None:
                graph_inside = _rewritten(body.graph, rule, bodies)
                inner = bodies[id(body)] = Body(graph_inside, body.carries, body.slices)
            new[id(node)] = b.scan(inner, inputs, length, reverse)
            continue
        new[id(node)] = b.rebuild(node, inputs) if replaced is None else replaced
    return b.graph([new[id(node)] for node in graph.outputs])


def renumbered(graph: Graph) -> Graph:
    """Number a graph's inputs by their place in its list."""
    b = Builder(graph.data)
    new = {id(node): b.input(node.shape) for node in graph.inputs}
    for node in graph.nodes():
        if id(node) in new:
            continue
        if not node.inputs:
            b.remember(node)
            new[id(node)] = node
        else:
            new[id(node)] = b.rebuild(node, tuple(new[id(source)] for source in node.inputs))
    return b.graph([new[id(node)] for node in graph.outputs])
