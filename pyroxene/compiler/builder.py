"""Makes nodes: broadcasts, composes views, shares what is equal, and simplifies as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.compiler import algebra
from pyroxene.compiler.graph import POINTWISE, Body, Graph, Node
from pyroxene.compiler.strides import Shape, broadcast, compose, contiguous, is_identity
from pyroxene.errors import Source

__all__ = ["Builder", "Operand"]

Operand = Node | float | int | bool

_KINDS = {torch.float64: "f", torch.int64: "i", torch.bool: "b"}


class Builder:
    """Nodes of one graph under construction; final.

    Two requests for the same operation on the same inputs give the same node, so common subexpressions never arise,
    and each request is simplified by `algebra` first. Rules are written as `b("mul", x, b("exp", y))`; numbers become
    literals and shapes broadcast as in PyTorch.

    Attributes:
        data: tensors by slot.
        inputs: the arguments made so far.
        note, source: given to each new node.
    """

    def __init__(self, data: list[torch.Tensor] | None = None) -> None:
        self.data: list[torch.Tensor] = data if data is not None else []
        self.inputs: list[Node] = []
        self.note = ""
        self.source: Source | None = None
        self._known: dict[Any, Node] = {}
        self._slots: dict[int, Node] = {}

    def make(self, op: str, inputs: tuple[Node, ...], attributes: tuple[Any, ...], shape: Shape, kind: str) -> Node:
        """Return the node of an operation, an older one where there is an equal one."""
        key = (op, tuple([id(node) for node in inputs]), attributes, shape, kind)
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = Node(op, inputs, attributes, shape, kind, self.note, self.source)
        return node

    def remember(self, node: Node) -> None:
        """Let requests that equal a node of another graph find it."""
        if node.op == "literal":
            self._known.setdefault(("literal", repr(node.attributes[0]), node.kind), node)
        else:
            key = (node.op, tuple([id(source) for source in node.inputs]), node.attributes, node.shape, node.kind)
            self._known.setdefault(key, node)

    # leaves

    def input(self, shape: Shape) -> Node:
        """Return a new argument of the function."""
        node = self.make("input", (), (len(self.inputs),), shape, "f")
        self.inputs.append(node)
        return node

    def adopt(self, inputs: Sequence[Node]) -> None:
        """Take over the arguments of another graph."""
        self.inputs = list(inputs)

    def literal(self, value: float | int | bool, kind: str | None = None) -> Node:
        """Return a number; its kind is that of its Python type where not given."""
        if kind is None:
            kind = "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f"
        value = {"f": float, "i": int, "b": bool}[kind](value)
        key = ("literal", repr(value), kind)  # by text: nan is not equal to itself, and 0.0 equals -0.0
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = Node("literal", (), (value,), (), kind)
        return node

    def constant(self, tensor: torch.Tensor) -> Node:
        """Return a tensor as a slot of data: float64, int64 or bool; the same tensor object gives the same slot."""
        node = self._slots.get(id(tensor))
        if node is None:
            slot = len(self.data)
            self.data.append(tensor)
            node = self.make("data", (), (slot,), tuple(tensor.shape), _KINDS[tensor.dtype])
            self._slots[id(tensor)] = node
        return node

    def table(self, tensor: torch.Tensor) -> Node:
        """Return a small tensor that a rule needs, such as a mask, as a slot; equal ones share it."""
        key = (tensor.dtype, tuple(tensor.shape), tensor.numpy().tobytes())
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = self.constant(tensor)
        return node

    # pointwise

    def __call__(self, op: str, *operands: Operand, attributes: tuple[Any, ...] = ()) -> Node:
        """Return a pointwise operation of nodes and numbers, which broadcast against each other."""
        takes = POINTWISE[op].takes
        kinds = [o.kind for o, letter in zip(operands, takes) if isinstance(o, Node) and letter == "."]
        nodes = []
        for operand, letter in zip(operands, takes):
            if not isinstance(operand, Node):
                kind = letter if letter in "fib" else kinds[-1] if kinds else None
                operand = self.literal(operand, kind)
            nodes.append(operand)
        shapes = {node.shape for node in nodes}
        if len(shapes) > 1:
            shape = broadcast(*shapes)
            nodes = [self.expand(node, shape) for node in nodes]
        return self.pointwise(op, tuple(nodes), attributes)

    def pointwise(self, op: str, inputs: tuple[Node, ...], attributes: tuple[Any, ...] = ()) -> Node:
        """Return a pointwise operation of nodes of one shape."""
        lifted = self._lift(op, inputs, attributes)
        if lifted is not None:
            return lifted
        simpler = algebra.simplify(self, op, inputs, attributes)
        if simpler is not None:
            return simpler
        gives = POINTWISE[op].gives
        kind = inputs[-1].kind if gives == "." else gives
        return self.make(op, inputs, attributes, inputs[0].shape, kind)

    def _lift(self, op: str, inputs: tuple[Node, ...], attributes: tuple[Any, ...]) -> Node | None:
        """Compute before a broadcast what repeats along the same dimensions in all inputs."""
        shape = inputs[0].shape
        still = [axis for axis, size in enumerate(shape) if size > 1]
        for node in inputs:
            if node.op != "view":
                return None
            still = [axis for axis in still if node.attributes[0][axis] == 0]
        if not still:
            return None
        kept = [axis for axis in range(len(shape)) if axis not in still]
        inner_shape = tuple(shape[axis] for axis in kept)
        sources = []
        for node in inputs:
            strides, offset = node.attributes
            sources.append(self.view(node.inputs[0], inner_shape, tuple(strides[axis] for axis in kept), offset))
        inner = self.pointwise(op, tuple(sources), attributes)
        own = dict(zip(kept, contiguous(inner_shape)))
        return self.view(inner, shape, tuple(own.get(axis, 0) for axis in range(len(shape))), 0)

    # views

    def view(self, source: Node, shape: Shape, strides: Shape, offset: int) -> Node:
        """Return a strided view of a node, row-major; of the node behind it where that is a view itself."""
        strides = tuple([0 if size == 1 else stride for size, stride in zip(shape, strides)])
        if is_identity(source.shape, shape, strides, offset):
            return source
        if source.op == "view":
            inner_strides, inner_offset = source.attributes
            both = compose(source.shape, inner_strides, inner_offset, shape, strides, offset)
            if both is not None:
                return self.view(source.inputs[0], shape, *both)
            source = self.copy(source)
        return self.make("view", (source,), (strides, offset), shape, source.kind)

    def reshape(self, source: Node, shape: Shape) -> Node:
        """Return the same elements, row-major, in another shape."""
        return self.view(source, shape, contiguous(shape), 0)

    def expand(self, source: Node, shape: Shape) -> Node:
        """Return a node broadcast to a shape."""
        if source.shape == shape:
            return source
        lead = len(shape) - len(source.shape)
        own = contiguous(source.shape)
        return self.view(source, shape, (0,) * lead + own, 0)

    def permute(self, source: Node, order: Sequence[int]) -> Node:
        """Return a node with its dimensions in another order."""
        own = contiguous(source.shape)
        return self.view(source, tuple(source.shape[a] for a in order), tuple(own[a] for a in order), 0)

    def slice(self, source: Node, dim: int, start: int, length: int, step: int = 1) -> Node:
        """Return a part of one dimension."""
        own = contiguous(source.shape)
        shape = source.shape[:dim] + (length,) + source.shape[dim + 1 :]
        strides = own[:dim] + (own[dim] * step,) + own[dim + 1 :]
        return self.view(source, shape, strides, start * own[dim])

    def select(self, source: Node, dim: int, index: int) -> Node:
        """Return one index of a dimension, which disappears."""
        part = self.slice(source, dim, index, 1)
        return self.reshape(part, source.shape[:dim] + source.shape[dim + 1 :])

    def flip(self, source: Node, dims: Sequence[int]) -> Node:
        """Return a node with some dimensions reversed."""
        own = contiguous(source.shape)
        strides = tuple(-s if axis in dims else s for axis, s in enumerate(own))
        offset = sum(own[axis] * (source.shape[axis] - 1) for axis in dims)
        return self.view(source, source.shape, strides, offset)

    # the rest

    def assemble(
        self, pieces: Sequence[Node], places: Sequence[tuple[Shape, int]], shape: Shape, disjoint: bool
    ) -> Node:
        """Return zeros of a shape with pieces added at strided places; `disjoint` where no two meet."""
        clean = []
        for piece, (strides, offset) in zip(pieces, places):
            clean.append((tuple(0 if size == 1 else s for size, s in zip(piece.shape, strides)), offset))
        if len(pieces) == 1 and is_identity(shape, pieces[0].shape, *clean[0]):
            return pieces[0]
        if len(pieces) == 1 and pieces[0].size == int(torch.Size(shape).numel()) and clean[0][1] == 0:
            if clean[0][0] == contiguous(pieces[0].shape):
                return self.reshape(pieces[0], shape)
        return self.make("assemble", tuple(pieces), (tuple(clean), disjoint), shape, pieces[0].kind)

    def copy(self, source: Node) -> Node:
        """Return a view's elements in memory of their own, for views of it that no strides can show."""
        place = ((contiguous(source.shape), 0),)
        return self.make("assemble", (source,), (place, True), source.shape, source.kind)

    def cat(self, pieces: Sequence[Node], dim: int) -> Node:
        """Return pieces one after the other along a dimension."""
        rest = [piece for piece in pieces if piece.size]
        if not rest:
            return pieces[0]
        total = sum(piece.shape[dim] for piece in rest)
        shape = rest[0].shape[:dim] + (total,) + rest[0].shape[dim + 1 :]
        own = contiguous(shape)
        full = _full_strides(shape)
        places = []
        start = 0
        for piece in rest:
            places.append((own, start * full[dim]))
            start += piece.shape[dim]
        return self.assemble(rest, places, shape, True)

    def reduce(self, source: Node, how: str, dims: Sequence[int]) -> Node:
        """Return a reduction over dimensions, which disappear."""
        dims = tuple(sorted(d % len(source.shape) for d in dims)) if source.shape else ()
        ones = [d for d in dims if source.shape[d] == 1]
        if ones:
            shape = tuple(size for axis, size in enumerate(source.shape) if axis not in ones)
            rest = [d - sum(one < d for one in ones) for d in dims if d not in ones]
            return self.reduce(self.reshape(source, shape), how, rest)
        if not dims:
            return source
        simpler = algebra.simplify_reduce(self, source, how, dims)
        if simpler is not None:
            return simpler
        shape = tuple(size for axis, size in enumerate(source.shape) if axis not in dims)
        return self.make("reduce", (source,), (how, dims), shape, source.kind)

    def sum_to(self, source: Node, shape: Shape) -> Node:
        """Undo a broadcast: sum until the shape is that of what was broadcast."""
        if source.shape == shape:
            return source
        lead = len(source.shape) - len(shape)
        dims = [*range(lead), *(lead + a for a, size in enumerate(shape) if size == 1 != source.shape[lead + a])]
        return self.reshape(self.reduce(source, "sum", dims), shape)

    def take(self, source: Node, index: Node) -> Node:
        """Return source[index]: rows of the first dimension; where all are one, without looking at the index."""
        if source.shape[0] == 1 or (source.op == "view" and source.attributes[0][0] == 0):
            own = contiguous(source.shape)[1:]
            return self.view(source, index.shape + source.shape[1:], (0,) * len(index.shape) + own, 0)
        return self.make("take", (source, index), (), index.shape + source.shape[1:], source.kind)

    def put(self, values: Node, index: Node, rows: int) -> Node:
        """Return zeros of so many rows with values added at the rows of an index."""
        if rows == 1:
            total = self.reduce(values, "sum", range(len(index.shape)))
            return self.reshape(total, (1, *total.shape))
        shape = (rows, *values.shape[len(index.shape) :])
        return self.make("put", (values, index), (rows,), shape, values.kind)

    def cumsum(self, source: Node, dim: int, reverse: bool = False) -> Node:
        """Return running sums along a dimension, from its end where reverse."""
        return self.make("cumsum", (source,), (dim, reverse), source.shape, source.kind)

    def matmul(self, a: Node, b: Node) -> Node:
        """Return the product of (*batch, m, k) and (*batch, k, n)."""
        return self.make("matmul", (a, b), (), (*a.shape[:-1], b.shape[-1]), "f")

    def cholesky(self, a: Node) -> Node:
        """Return the lower Cholesky factor."""
        return self.make("cholesky", (a,), (), a.shape, "f")

    def cholesky_adjoint(self, factor: Node, gradient: Node) -> Node:
        """Return the gradient by the lower triangle of a matrix, from that by its Cholesky factor."""
        return self.make("cholesky_adjoint", (factor, gradient), (), factor.shape, "f")

    def solve(self, lower: Node, b: Node, transpose: bool = False) -> Node:
        """Return L^-1 b, or L^-T b."""
        return self.make("solve", (lower, b), (transpose,), b.shape, "f")

    def lu(self, a: Node) -> Node:
        """Return the factors of matrices, and their pivots."""
        *batch, n, _ = a.shape
        return self.make("lu", (a,), (), (*batch, n + 1, n), "f")

    def lu_solve(self, a: Node, factors: Node, b: Node, transpose: bool = False) -> Node:
        """Return a^-1 b, or a^-T b."""
        return self.make("lu_solve", (a, factors, b), (transpose,), b.shape, "f")

    def log_determinant(self, a: Node, factors: Node) -> Node:
        """Return logarithms of the absolute determinants of matrices."""
        return self.make("log_determinant", (a, factors), (), a.shape[:-2], "f")

    def scan(self, body: Body, inputs: Sequence[Node], length: int, reverse: bool = False) -> Node:
        """Return a loop's flat value; `part` reads it."""
        shape = (sum(body.sizes(length)),)
        return self.make("scan", tuple(inputs), (body, length, reverse), shape, "f")

    def part(self, scan: Node, position: int) -> Node:
        """Return one output of a loop: a last carry, or what was collected, stacked along a new first dimension."""
        body, length, _ = scan.attributes
        shape, offset = body.part(position, length)
        return self.view(scan, shape, contiguous(shape), offset)

    def stop(self, source: Node) -> Node:
        """Return the same value, through which no gradient passes."""
        return self.make("stop", (source,), (), source.shape, source.kind)

    def diagonal(self, source: Node) -> Node:
        """Return the diagonals of matrices, which may have more rows than columns."""
        *batch, _, n = source.shape
        own = contiguous(source.shape)
        return self.view(source, (*batch, n), (*own[:-2], own[-2] + own[-1]), 0)

    def transpose(self, source: Node) -> Node:
        """Return a node with its last two dimensions exchanged."""
        rank = len(source.shape)
        return self.permute(source, [*range(rank - 2), rank - 1, rank - 2])

    def rebuild(self, node: Node, inputs: tuple[Node, ...]) -> Node:
        """Return a node of another graph on new inputs, simplified anew."""
        self.note, self.source = node.note, node.source
        op, attributes = node.op, node.attributes
        if op in POINTWISE:
            return self.pointwise(op, inputs, attributes)
        if op == "view":
            return self.view(inputs[0], node.shape, *attributes)
        if op == "reduce":
            return self.reduce(inputs[0], *attributes)
        if op == "assemble":
            return self.assemble(inputs, attributes[0], node.shape, attributes[1])
        if op == "literal":
            return self.literal(attributes[0], node.kind)
        if op == "take":
            return self.take(*inputs)
        return self.make(op, inputs, attributes, node.shape, node.kind)

    def graph(self, outputs: Sequence[Node]) -> Graph:
        """Return the graph of some outputs."""
        return Graph(list(self.inputs), list(outputs), self.data)


def _full_strides(shape: Shape) -> Shape:
    """Return row-major strides, along dimensions of one element too."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    return tuple(strides)
