"""The reverse pass: from a graph with one scalar output to one that returns its gradients as well."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch

from pyroxene.compiler.adjoint.pointwise import POINTWISE_ADJOINTS
from pyroxene.compiler.adjoint.scan import scan_adjoint, with_residuals
from pyroxene.compiler.adjoint.structural import STRUCTURAL_ADJOINTS
from pyroxene.compiler.algebra import literal_of
from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Graph, Node, ordered
from pyroxene.compiler.strides import Shape, contiguous, is_injective

__all__ = ["value_and_gradient"]


@dataclass
class _Gradient:
    """What has arrived at a node: parts of its own shape, and pieces from views of it."""

    parts: list[Node] = field(default_factory=list)
    pieces: list[Node] = field(default_factory=list)
    places: list[tuple[Shape, int]] = field(default_factory=list)

    def by_part(self, b: Builder, scan: Node) -> list[Node | None]:
        """Return the gradient of each output of a loop, whose value is flat and read by views."""
        body, length, _ = scan.attributes
        found: list[_Gradient] = [_Gradient() for _ in body.graph.outputs]
        ends = list(itertools.accumulate(body.sizes(length)))
        for piece, (strides, offset) in zip(self.pieces, self.places):
            position = bisect.bisect_right(ends, offset)
            found[position].pieces.append(piece)
            found[position].places.append((strides, offset - (ends[position - 1] if position else 0)))
        shapes = [body.part(position, length)[0] for position in range(len(found))]
        for whole in self.parts:  # a loop of one output is read as it is
            for position, shape in enumerate(shapes):
                found[position].parts.append(b.view(whole, shape, contiguous(shape), body.part(position, length)[1]))
        return [gradient.total(b, shape) for gradient, shape in zip(found, shapes)]

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


class _Pass:
    """One reverse pass over some nodes."""

    def __init__(self, b: Builder, order: Sequence[Node], active: set[int]) -> None:
        self.b = b
        self.order = order
        self.active = active
        self.gradients: dict[int, _Gradient] = {}

    def seed(self, node: Node, gradient: Node) -> None:
        """Add to the gradient that a node starts with."""
        self.gradients.setdefault(id(node), _Gradient()).parts.append(gradient)

    def run(self) -> dict[int, Node]:
        """Return the gradients of the inputs that any reaches."""
        b = self.b
        results: dict[int, Node] = {}
        for node in reversed(self.order):
            if id(node) not in self.active or id(node) not in self.gradients:
                continue
            arrived = self.gradients.pop(id(node))
            b.note, b.source = f"gradient of {node.note or node.op}", node.source
            if node.op == "scan":
                self.send(node, scan_adjoint(b, arrived.by_part(b, node), node))
                continue
            g = arrived.total(b, node.shape)
            assert g is not None
            if node.op == "input":
                results[id(node)] = g
            elif node.op == "view":
                _send_view(b, g, node, self.gradients.setdefault(id(node.inputs[0]), _Gradient()))
            else:
                adjoint = POINTWISE_ADJOINTS.get(node.op) or STRUCTURAL_ADJOINTS[node.op]
                self.send(node, adjoint(b, g, node))
        return results

    def send(self, node: Node, parts: Sequence[Node | None]) -> None:
        for source, part in zip(node.inputs, parts):
            if part is not None and id(source) in self.active and literal_of(part) != 0:
                self.gradients.setdefault(id(source), _Gradient()).parts.append(part)


def active_nodes(order: Sequence[Node], sources: Iterable[Node]) -> set[int]:
    """Return which nodes pass gradients on to some sources."""
    active = {id(node) for node in sources}
    for node in order:
        if node.kind == "f" and node.op != "stop" and any(id(source) in active for source in node.inputs):
            active.add(id(node))
    return active


def pull_back(
    b: Builder, outputs: Sequence[Node], gradients: Sequence[Node], sources: Sequence[Node]
) -> list[Node | None]:
    """Return the gradients of sources, given those of outputs; None where none arrives.

    Args:
        b: makes the new nodes.
        outputs: nodes, one of them perhaps twice.
        gradients: of the outputs.
        sources: inputs of the graph.
    """
    order = ordered(outputs)
    for node in order:  # so that requests for nodes that are there already find them
        b.remember(node)
    reverse = _Pass(b, order, active_nodes(order, sources))
    for output, gradient in zip(outputs, gradients):
        reverse.seed(output, gradient)
    results = reverse.run()
    return [results.get(id(source)) for source in sources]


def value_and_gradient(graph: Graph) -> Graph:
    """Return a graph whose outputs are the first output of another and its gradient by every input.

    Args:
        graph: its first output has shape ().

    Raises:
        AssertionError: an operation has no adjoint.
    """
    graph = with_residuals(graph, pull_back)
    b = Builder(graph.data)
    b.adopt(graph.inputs)
    value = graph.outputs[0]
    found = pull_back(b, [value], [b.literal(1.0)], graph.inputs)
    zeros = [b.expand(b.literal(0.0), node.shape) for node in graph.inputs]
    return b.graph([value, *(zero if g is None else g for g, zero in zip(found, zeros))])
