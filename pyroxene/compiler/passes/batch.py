"""A function at several points in one pass: each value that depends on the argument gets a first dimension, the points.

The scheduler then does with the points what it does with every short axis: it writes them out in the loop over rows,
so that a row of data is read once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import POINTWISE, Body, Graph, Node, verify
from pyroxene.compiler.recorder import UnsupportedOperation
from pyroxene.compiler.strides import Shape

__all__ = ["batch"]


class _Batch:
    """One graph, or the body of a loop in it, for several points.

    Attributes:
        new: what became of each old node; with the points first where it varies with them.
        varies: the old nodes that do.
    """

    def __init__(self, b: Builder, width: int) -> None:
        self.b = b
        self.width = width
        self.new: dict[int, Node] = {}
        self.varies: set[int] = set()
        self.loops: dict[int, tuple[Node, Body]] = {}  # of an old scan: the new one, and the old body
        self.narrow: dict[int, set[int]] = {}  # of an old scan: its outputs that do not vary

    def wide(self, old: Node) -> Node:
        """Return what became of a node, repeated for each point where it does not vary."""
        node = self.new[id(old)]
        if id(old) in self.varies:
            return node
        return self.b.expand(self.b.reshape(node, (1, *node.shape)), (self.width, *node.shape))

    def visit(self, node: Node) -> None:
        b = self.b
        b.note, b.source = node.note, node.source
        if not any(id(source) in self.varies for source in node.inputs):
            if node.op == "scan":
                self.new[id(node)] = b.make(
                    node.op, tuple(map(self._same, node.inputs)), node.attributes, node.shape, "f"
                )
            elif node.inputs:
                self.new[id(node)] = b.rebuild(node, tuple(map(self._same, node.inputs)))
            else:
                b.remember(node)
                self.new[id(node)] = node
            return
        if node.op == "view" and id(node.inputs[0]) in self.loops:
            self._part(node)
            return
        self.varies.add(id(node))
        if node.op == "scan":
            self._scan(node)
        else:
            self.new[id(node)] = self._make(node)

    def _same(self, node: Node) -> Node:
        return self.new[id(node)]

    def _make(self, node: Node) -> Node:
        b, width, op, attributes = self.b, self.width, node.op, node.attributes
        if op in ("take", "put"):
            return self._rows(node)
        inputs = tuple(self.wide(source) for source in node.inputs)
        if op in POINTWISE:
            return b.pointwise(op, inputs, attributes)
        if op == "view":
            strides, offset = attributes
            return b.view(inputs[0], (width, *node.shape), (node.inputs[0].size, *strides), offset)
        if op == "assemble":
            places, disjoint = attributes
            moved = [((node.size, *strides), offset) for strides, offset in places]
            return b.make("assemble", inputs, (tuple(moved), disjoint), (width, *node.shape), node.kind)
        if op == "reduce":
            how, dims = attributes
            return b.reduce(inputs[0], how, [d + 1 for d in dims])
        if op == "cumsum":
            return b.cumsum(inputs[0], attributes[0] + 1, attributes[1])
        return b.make(op, inputs, attributes, (width, *node.shape), node.kind)

    def _rows(self, node: Node) -> Node:
        """Gather or scatter rows that hold all points side by side, so that one index serves them all."""
        b = self.b
        source, index = node.inputs
        if id(index) in self.varies:
            raise UnsupportedOperation("an index differs from point to point")
        wide = self.wide(source)
        lead = 1 if node.op == "take" else len(index.shape)
        rows = b.permute(wide, [*range(1, lead + 1), 0, *range(lead + 1, len(wide.shape))])
        if node.op == "take":
            moved = b.take(rows, self.new[id(index)])
            lead = len(index.shape)
        else:
            moved = b.put(rows, self.new[id(index)], node.attributes[0])
            lead = 1
        return b.permute(moved, [lead, *range(lead), *range(lead + 1, len(moved.shape))])

    def _scan(self, node: Node) -> None:
        body, length, reverse = node.attributes
        b = self.b
        inputs = []
        varying, self.narrow[id(node)] = _that_vary(body, [id(source) in self.varies for source in node.inputs])
        for position, (source, varies) in enumerate(zip(node.inputs, varying)):
            is_slice = body.carries <= position < body.carries + body.slices
            value = self.wide(source) if varies else self.new[id(source)]
            if varies and is_slice:  # the steps come first
                value = b.permute(value, [1, 0, *range(2, len(value.shape))])
            inputs.append(value)
        inside = _batched(body.graph, self.width, varying, self.narrow[id(node)])
        loop = b.scan(Body(inside, body.carries, body.slices), inputs, length, reverse)
        self.loops[id(node)] = (loop, body)
        whole = [self._whole(node, position) for position in range(len(body.graph.outputs))]
        flat = [b.reshape(part, (self.width, math.prod(part.shape[1:]))) for part in whole]
        self.new[id(node)] = b.cat(flat, 1) if len(flat) > 1 else flat[0]

    def _whole(self, old: Node, position: int) -> Node:
        """Return one output of a loop with the points first."""
        loop, body = self.loops[id(old)]
        part = self.b.part(loop, position)
        if position in self.narrow[id(old)]:
            return self.b.expand(self.b.reshape(part, (1, *part.shape)), (self.width, *part.shape))
        if position < body.carries:
            return part
        return self.b.permute(part, [1, 0, *range(2, len(part.shape))])

    def _part(self, view: Node) -> None:
        """Read a view of a loop's flat value from the one output that it shows."""
        old = view.inputs[0]
        loop, body = self.loops[id(old)]
        length = old.attributes[1]
        strides, offset = view.attributes
        ends: list[int] = []
        for size in body.sizes(length):
            ends.append((ends[-1] if ends else 0) + size)
        position = next(p for p, end in enumerate(ends) if offset < end)
        local = offset - (ends[position - 1] if position else 0)
        if position in self.narrow[id(old)]:
            self.new[id(view)] = self.b.view(self.b.part(loop, position), view.shape, strides, local)
            return
        whole = self._whole(old, position)
        size = math.prod(whole.shape[1:])
        self.varies.add(id(view))
        self.new[id(view)] = self.b.view(whole, (self.width, *view.shape), (size, *strides), local)


def _that_vary(body: Body, outside: list[bool]) -> tuple[list[bool], set[int]]:
    """Return which inputs of a body vary with the points, carries that come to among them, and which outputs do not.

    Args:
        body: of the loop.
        outside: which inputs vary where the loop stands.
    """
    varying = list(outside)
    while True:
        reached = {id(node) for node, varies in zip(body.graph.inputs, varying) if varies}
        for node in body.graph.nodes():
            if any(id(source) in reached for source in node.inputs):
                reached.add(id(node))
        narrow = {position for position, node in enumerate(body.graph.outputs) if id(node) not in reached}
        late = [k for k in range(body.carries) if not varying[k] and k not in narrow]
        if not late:  # a carry that varied at first is as wide at the end
            return varying, {k for k in narrow if k >= body.carries or not varying[k]}
        for position in late:
            varying[position] = True


def _batched(graph: Graph, width: int, varying: Sequence[bool], narrow: Collection[int] = ()) -> Graph:
    b = Builder(graph.data)
    state = _Batch(b, width)
    for node, varies in zip(graph.inputs, varying):
        shape: Shape = (width, *node.shape) if varies else node.shape
        state.new[id(node)] = b.input(shape)
        if varies:
            state.varies.add(id(node))
    for node in graph.nodes():
        if id(node) not in state.new:
            state.visit(node)
    return b.graph([
        state.new[id(node)] if position in narrow else state.wide(node) for position, node in enumerate(graph.outputs)
    ])  # fmt: skip


def batch(graph: Graph, width: int) -> Graph:
    """Return a graph that computes another's outputs at several points.

    Args:
        graph: of any number of inputs.
        width: how many points.

    Returns:
        a graph whose inputs and outputs have a first dimension of that many. Verified.
    """
    batched = _batched(graph, width, [True] * len(graph.inputs))
    verify(batched)
    return batched
