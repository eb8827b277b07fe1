"""Writes operations that share parts (softplus, log_ndtr, determinants and such) as these, each computed once."""

from __future__ import annotations

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Graph, Node
from pyroxene.compiler.normal import log_ndtr_value, ndtr_value
from pyroxene.compiler.passes.rewrite import rewrite

__all__ = ["expand"]


def _decay(b: Builder, x: Node) -> Node:
    return b("exp", b("neg", b("abs", x)))


def _softplus(b: Builder, x: Node) -> Node:
    return b("add", b("maximum", x, 0.0), b("log1p", _decay(b, x)))


def _sigmoid(b: Builder, x: Node) -> Node:
    decay = _decay(b, x)
    return b("div", b("where", b("ge", x, 0.0), 1.0, decay), b("add", decay, 1.0))


def _log_sigmoid(b: Builder, x: Node) -> Node:
    return b("sub", b("minimum", x, 0.0), b("log1p", _decay(b, x)))


def _log_determinant(b: Builder, factors: Node) -> Node:
    """Return the sum of the logarithms of a factor's diagonal."""
    diagonal = b.diagonal(factors)
    return b.reduce(b("log", b("abs", diagonal)), "sum", (len(diagonal.shape) - 1,))


_PARTS = {
    "softplus": _softplus,
    "sigmoid": _sigmoid,
    "log_sigmoid": _log_sigmoid,
    "ndtr": ndtr_value,
    "log_ndtr": log_ndtr_value,
}


def _rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    if node.op == "stop":
        return inputs[0]
    if node.op == "sigmoid" and inputs[0].op == "neg":  # 1 - sigmoid(x), of the same parts as sigmoid(x)
        x = inputs[0].inputs[0]
        decay = _decay(b, x)
        return b("div", b("where", b("ge", x, 0.0), decay, 1.0), b("add", decay, 1.0))
    if node.op == "log_determinant":
        return _log_determinant(b, inputs[1])
    parts = _PARTS.get(node.op)
    return parts(b, *inputs) if parts is not None else None


def expand(graph: Graph) -> Graph:
    """Return an equal graph without the operations above and stop; to be run after reverse mode."""
    return rewrite(graph, _rule)
