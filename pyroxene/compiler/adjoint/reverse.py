"""The reverse pass: from a graph with one scalar output to one that returns its gradients as well."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pyroxene.compiler.adjoint.pointwise import POINTWISE_ADJOINTS
from pyroxene.compiler.adjoint.structural import STRUCTURAL_ADJOINTS
from pyroxene.compiler.algebra import literal_of
from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Graph, Node, ordered
from pyroxene.compiler.strides import Shape, is_injective

__all__ = ["value_and_gradient"]


@dataclass
class _Gradient:
    """What has arrived at a node: parts of its own shape, and pieces from views of it."""

    parts: list[Node] = field(default_factory=list)
    pieces: list[Node] = field(default_factory=list)
    places: list[tuple[Shape, int]] = field(default_factory=list)

    def total(self, b: Builder, shape: Shape) -> Node | None:
        total: Node | None = None
        for part in self.parts:
            total = part if total is None else b("add", total, part)
        if self.pieces:
            merged: dict[tuple[Shape, Shape, int], Node] = {}
            for piece, (strides, offset) in zip(self.pieces, self.places):
                key = (piece.shape, strides, offset)
                merged[key] = b("add", merged[key], piece) if key in merged else piece
            pieces, places = list(merged.values()), [(strides, offset) for _, strides, offset in merged]
            whole = b.assemble(pieces, places, shape, _disjoint(pieces, places, shape))
            total = whole if total is None else b("add", total, whole)
        return total


def _disjoint(pieces: list[Node], places: list[tuple[Shape, int]], shape: Shape) -> bool:
    """Say whether no two elements of the pieces meet."""
    if any(not is_injective(piece.shape, strides) for piece, (strides, _) in zip(pieces, places)):
        return False
    if len(pieces) == 1:
        return True
    hits = torch.zeros(torch.Size(shape).numel(), dtype=torch.int8)
    for piece, (strides, offset) in zip(pieces, places):
        low = offset + sum(min(0, s * (n - 1)) for s, n in zip(strides, piece.shape))
        seen = torch.as_strided(hits, piece.shape, [abs(s) for s in strides], low)
        if bool(seen.any()):
            return False
        seen.fill_(1)
    return True


def _send_view(b: Builder, g: Node, node: Node, to: _Gradient) -> None:
    """Pass a view's gradient on: summed where the view repeats, as a piece at its place."""
    strides, offset = node.attributes
    repeated = [axis for axis, (s, n) in enumerate(zip(strides, node.shape)) if s == 0 and n > 1]
    piece = b.reduce(g, "sum", repeated)
    kept = tuple(s for axis, s in enumerate(strides) if axis not in repeated)
    if piece.shape == () and node.inputs[0].shape == ():
        to.parts.append(piece)
    else:
        to.pieces.append(piece)
        to.places.append((kept, offset))


def value_and_gradient(graph: Graph) -> Graph:
    """Return a graph whose outputs are the first output of another and its gradient by every input.

    Args:
        graph: its first output has shape ().

    Raises:
        AssertionError: an operation has no adjoint.
    """
    b = Builder(graph.data)
    b.adopt(graph.inputs)
    value = graph.outputs[0]
    order = ordered([value])
    for node in order:  # so that requests for nodes that are there already find them
        b.remember(node)
    active: set[int] = {id(node) for node in graph.inputs}
    for node in order:
        if node.kind == "f" and node.op != "stop" and any(id(source) in active for source in node.inputs):
            active.add(id(node))
    gradients: dict[int, _Gradient] = {id(value): _Gradient([b.literal(1.0)])}
    results: dict[int, Node] = {}
    for node in reversed(order):
        if id(node) not in active or id(node) not in gradients:
            continue
        g = gradients.pop(id(node)).total(b, node.shape)
        assert g is not None
        b.note, b.source = f"gradient of {node.note or node.op}", node.source
        if node.op == "input":
            results[id(node)] = g
        elif node.op == "view":
            _send_view(b, g, node, gradients.setdefault(id(node.inputs[0]), _Gradient()))
        else:
            adjoint = POINTWISE_ADJOINTS.get(node.op) or STRUCTURAL_ADJOINTS[node.op]
            for source, part in zip(node.inputs, adjoint(b, g, node)):
                if part is not None and id(source) in active and literal_of(part) != 0:
                    gradients.setdefault(id(source), _Gradient()).parts.append(part)
    zeros = [b.expand(b.literal(0.0), node.shape) for node in graph.inputs]
    return b.graph([value, *(results.get(id(node), zero) for node, zero in zip(graph.inputs, zeros))])
