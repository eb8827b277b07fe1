"""Divides once by the same values, and not where a loop waits: a division costs ten multiplications."""

from __future__ import annotations

from collections import Counter

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Graph, Node, nested
from pyroxene.compiler.passes.rewrite import rewrite

__all__ = ["share_divisors"]


def _carried(graph: Graph) -> set[int]:
    """Return the nodes in bodies of loops that wait for the step before."""
    waiting: set[int] = set()
    for outer in nested(graph):
        for scan in outer.nodes():
            if scan.op != "scan":
                continue
            body = scan.attributes[0]
            waiting.update(map(id, body.graph.inputs[: body.carries]))
            for node in body.graph.nodes():
                if any(id(source) in waiting for source in node.inputs):
                    waiting.add(id(node))
    return waiting


def share_divisors(graph: Graph) -> Graph:
    """Return an equal graph, to rounding, that multiplies by reciprocals.

    Values that divide twice or more have one reciprocal. In a loop, what waits for the step before is multiplied by the
    reciprocal of what does not, which is then there in time.
    """
    waiting = _carried(graph)
    uses: Counter[int] = Counter()
    for inner in nested(graph):
        for node in inner.nodes():
            if node.op in ("div", "reciprocal"):
                uses[id(node.inputs[-1])] += 1

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op != "div":
            return None
        numerator, divisor = map(id, node.inputs)
        if uses[divisor] < 2 and not (numerator in waiting and divisor not in waiting):
            return None
        return b("mul", inputs[0], b("reciprocal", inputs[1]))

    return rewrite(graph, rule)
