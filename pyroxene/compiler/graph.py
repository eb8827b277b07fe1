"""The graph between capture and code: which operations it may hold, what each means, and the verifier.

A graph is a list of nodes in an order in which each comes after its inputs. A node has an operation, inputs,
attributes, a static shape and a kind: "f" (float64), "i" (int64) or "b" (boolean). Values are row-major. There is no
broadcasting and no aliasing: a view is a node like any other, and which values get memory is the emitter's business.

| operation | inputs | attributes | meaning |
|---|---|---|---|
| input | | position | an argument of the function |
| literal | | number | a number that stands in the source; shape () |
| data | | slot | a tensor that is bound when the function is prepared |
| (pointwise) | of its own shape | some | a name in POINTWISE, element by element |
| view | source | strides, offset | element i is source.flat[offset + sum(strides * i)] |
| assemble | pieces | (strides, offset) each, disjoint | zeros, plus each piece at its places |
| reduce | source | how, dims | sum, prod, max, min, any or all over dims, which disappear |
| take | source, index | | source[index]: rows of the first dimension |
| put | values, index | rows | zeros of that many rows, plus values[i] at row index[i] |
| cumsum | source | dim, reverse | running sums, from the end where reverse |
| matmul | a, b | | (*batch, m, k) by (*batch, k, n) |
| cholesky | a | | lower factor of (*batch, n, n), of whose lower triangle it is a function; nan where there is none |
| cholesky_adjoint | l, g | | gradient by that lower triangle, of a factor l whose gradient is g; zeros above |
| solve | l, b | transpose | L^-1 b, or L^-T b, of a lower triangular L |
| lu | a | | (*batch, n + 1, n): factors of (*batch, n, n) and a row of pivots, see `csrc/lu.h`; no gradient passes |
| lu_solve | a, lu, b | transpose | a^-1 b, or a^-T b, by the factors of a; inf or nan where it is singular |
| log_determinant | a, lu | | logarithms of the absolute determinants, (*batch,); of lu before it is emitted |
| scan | carries, slices, others | body, length, reverse | a loop; see `Body` |
| stop | source | | the same value; no gradient passes |

Every operation's reference is its line in `evaluate.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyroxene.compiler.strides import Shape
from pyroxene.errors import Source

__all__ = ["LEAVES", "POINTWISE", "Body", "Graph", "Node", "PointwiseKind", "nested", "ordered", "verify"]


@dataclass(frozen=True)
class PointwiseKind:
    """What is known of a pointwise operation; final.

    Attributes:
        arity: how many inputs.
        takes: kind of its inputs, one letter each; "." is any, and equal where it repeats.
        gives: kind of the result; "." is the kind of the inputs marked so.
    """

    arity: int
    takes: str
    gives: str


def _table() -> dict[str, PointwiseKind]:
    table: dict[str, PointwiseKind] = {}
    unary = """neg exp log log1p expm1 log2 log10 exp2 sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh tanh
        asinh acosh atanh sigmoid abs sign floor ceil round trunc lgamma digamma erf erfc erfinv ndtri ndtr log_ndtr i0
        i1 i0e i1e erfcx sinc softplus log_sigmoid square"""
    for name in unary.split():
        table[name] = PointwiseKind(1, "f", "f")
    for name in "add sub mul div pow maximum minimum atan2 fmod remainder hypot".split():
        table[name] = PointwiseKind(2, "ff", "f")
    for name in "eq ne lt le gt ge".split():
        table[name] = PointwiseKind(2, "..", "b")
    for name in "and or xor".split():
        table[name] = PointwiseKind(2, "bb", "b")
    for name in "iadd isub imul idiv imod".split():
        table[name] = PointwiseKind(2, "ii", "i")
    table["gamma_sample"] = PointwiseKind(2, "ff", "f")
    table["gamma_slope"] = PointwiseKind(3, "fff", "f")
    table["not"] = PointwiseKind(1, "b", "b")
    table["isnan"] = PointwiseKind(1, "f", "b")
    table["where"] = PointwiseKind(3, "b..", ".")
    table["polygamma"] = PointwiseKind(1, "f", "f")
    table["as_float"] = PointwiseKind(1, "?", "f")
    table["as_int"] = PointwiseKind(1, "?", "i")
    table["as_bool"] = PointwiseKind(1, "?", "b")
    return table


POINTWISE = _table()
"""Every pointwise operation. `polygamma` has one attribute, its order.

`gamma_sample(alpha, key)` is a gamma variate, `gamma_slope(alpha, x, digamma(alpha + 1))` its derivative by alpha; see
`gamma.py`.
"""

LEAVES = frozenset({"input", "literal", "data"})


class Node:
    """One value of a graph; final. Compared by identity.

    Attributes:
        op: its operation.
        inputs: the nodes it reads.
        attributes: numbers and tuples, as the table says.
        shape: of its value.
        kind: "f", "i" or "b".
        note: what it was in the program, for a comment in the emitted code.
        source: the user's line that it came from.
        fixed: whether it depends on data and literals alone.
    """

    __slots__ = ("attributes", "fixed", "inputs", "kind", "note", "op", "shape", "source")

    def __init__(
        self,
        op: str,
        inputs: tuple[Node, ...],
        attributes: tuple[Any, ...],
        shape: Shape,
        kind: str,
        note: str = "",
        source: Source | None = None,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.attributes = attributes
        self.shape = shape
        self.kind = kind
        self.note = note
        self.source = source
        self.fixed: bool = op != "input" and all(node.fixed for node in inputs)

    @property
    def size(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    def __repr__(self) -> str:
        return f"{self.op}{list(self.attributes) or ''}: {self.kind}{list(self.shape)}"


@dataclass
class Graph:
    """A function of flat inputs; final.

    Attributes:
        inputs: its arguments, by position.
        outputs: what it returns.
        data: tensors by slot, as captured; float64, int64 or bool, contiguous.
    """

    inputs: list[Node]
    outputs: list[Node]
    data: list[Any] = field(default_factory=list)

    def nodes(self) -> list[Node]:
        """Return what the outputs need, each after its inputs."""
        return ordered(self.outputs)

    def describe(self) -> str:
        """Return the graph as text, a node a line."""
        names: dict[int, str] = {}
        lines = []
        for number, node in enumerate(self.nodes()):
            names[id(node)] = f"%{number}"
            reads = ", ".join(names[id(source)] for source in node.inputs)
            extra = f" {node.attributes}" if node.attributes else ""
            lines.append(f"%{number}: {node.kind}{list(node.shape)} = {node.op}({reads}){extra}")
        returns = ", ".join(names[id(node)] for node in self.outputs)
        return "\n".join([*lines, f"return {returns}"])


@dataclass(eq=False)
class Body:
    """What a scan does at each step; final. Compared by identity.

    The graph's inputs are the carries, one slice of each of the scan's sliced inputs, and the others; its outputs are
    the new carries and what is collected. The scan's value is flat: the last carries, then each collected output,
    stacked.

    Attributes:
        graph: of one step.
        carries: how many carries there are.
        slices: how many inputs are sliced along their first dimension.
    """

    graph: Graph
    carries: int
    slices: int

    def sizes(self, length: int) -> list[int]:
        """Return how many elements each part of the scan's flat value has."""
        return [
            output.size * (1 if position < self.carries else length)
            for position, output in enumerate(self.graph.outputs)
        ]

    def part(self, position: int, length: int) -> tuple[Shape, int]:
        """Return the shape and offset of one part of the scan's flat value."""
        shape = self.graph.outputs[position].shape
        offset = sum(self.sizes(length)[:position])
        return shape if position < self.carries else (length, *shape), offset


def nested(graph: Graph) -> list[Graph]:
    """Return a graph and the bodies of the loops in it."""
    found = [graph]
    seen: set[int] = set()
    for inner in found:
        for node in inner.nodes():
            if node.op == "scan" and id(node.attributes[0]) not in seen:
                seen.add(id(node.attributes[0]))
                found.append(node.attributes[0].graph)
    return found


def ordered(outputs: Iterable[Node]) -> list[Node]:
    """Return outputs and all they need, each node once and after its inputs; without recursion."""
    done: set[int] = set()
    order: list[Node] = []
    stack: list[tuple[Node, Iterator[Node]]] = []
    for output in outputs:
        if id(output) in done:
            continue
        done.add(id(output))
        stack.append((output, iter(output.inputs)))
        while stack:
            node, rest = stack[-1]
            for source in rest:
                if id(source) not in done:
                    done.add(id(source))
                    stack.append((source, iter(source.inputs)))
                    break
            else:
                stack.pop()
                order.append(node)
    return order


def _expect(claim: bool, node: Node, what: str) -> None:
    if not claim:
        raise AssertionError(f"{node!r} of {[repr(source) for source in node.inputs]}: {what}")


def _view_fits(source: Node, shape: Shape, strides: Sequence[int], offset: int) -> bool:
    if math.prod(shape) == 0:
        return True
    low = offset + sum(min(0, stride * (size - 1)) for stride, size in zip(strides, shape))
    high = offset + sum(max(0, stride * (size - 1)) for stride, size in zip(strides, shape))
    return len(strides) == len(shape) and low >= 0 and high < source.size


def _check_pointwise(node: Node) -> None:
    known = POINTWISE[node.op]
    _expect(len(node.inputs) == known.arity, node, f"takes {known.arity} inputs")
    same = {source.kind for source, letter in zip(node.inputs, known.takes) if letter == "."}
    _expect(len(same) <= 1, node, "inputs of one kind")
    for source, letter in zip(node.inputs, known.takes):
        _expect(source.shape == node.shape, node, "no broadcasting")
        _expect(letter in ".?" or source.kind == letter, node, f"kind {letter}")
    _expect(node.kind == (same.pop() if known.gives == "." else known.gives), node, "kind of the result")


def _check_view(node: Node) -> None:
    (source,) = node.inputs
    strides, offset = node.attributes
    _expect(node.kind == source.kind, node, "a view keeps the kind")
    _expect(_view_fits(source, node.shape, strides, offset), node, "inside its source")


def _check_assemble(node: Node) -> None:
    places, _disjoint = node.attributes
    _expect(len(places) == len(node.inputs) > 0, node, "a place for each piece")
    for piece, (strides, offset) in zip(node.inputs, places):
        _expect(piece.kind == node.kind, node, "one kind")
        _expect(_view_fits(node, piece.shape, strides, offset), node, "pieces inside the whole")


def _check_reduce(node: Node) -> None:
    how, dims = node.attributes
    (source,) = node.inputs
    _expect(how in ("sum", "prod", "max", "min", "any", "all"), node, "a known reduction")
    kept = tuple(size for axis, size in enumerate(source.shape) if axis not in dims)
    _expect(len(set(dims)) == len(dims) and kept == node.shape, node, "the other dimensions remain")
    _expect((how in ("any", "all")) == (node.kind == "b") and source.kind == node.kind, node, "kinds")


def _check_rows(node: Node) -> None:
    source, index = node.inputs
    _expect(index.kind == "i" and source.kind == node.kind, node, "an index of integers")
    if node.op == "take":
        _expect(node.shape == index.shape + source.shape[1:], node, "rows by index")
    else:
        _expect(node.shape == (node.attributes[0], *source.shape[len(index.shape) :]), node, "rows")
        _expect(source.shape[: len(index.shape)] == index.shape, node, "a row for each index")


def _check_algebra(node: Node) -> None:
    _expect(all(source.kind == "f" for source in node.inputs) and node.kind == "f", node, "floats")
    shapes = [source.shape for source in node.inputs]
    if node.op == "matmul":
        (*batch, m, k), (*other, k2, n) = shapes
        _expect(batch == other and k == k2 and node.shape == (*batch, m, n), node, "(.., m, k) by (.., k, n)")
    elif node.op in ("cholesky", "cholesky_adjoint"):
        _expect(
            shapes[0] == shapes[-1] and shapes[0] == node.shape and node.shape[-1] == node.shape[-2], node, "square"
        )
    else:
        (*batch, n, n2), (*other, n3, _) = shapes
        _expect(batch == other and n == n2 == n3 and node.shape == shapes[1], node, "(.., n, n) and (.., n, k)")


def _check_factors(node: Node) -> None:
    (*batch, n, n2) = node.inputs[0].shape
    _expect(all(source.kind == "f" for source in node.inputs) and node.kind == "f" and n == n2, node, "square floats")
    _expect((node if node.op == "lu" else node.inputs[1]).shape == (*batch, n + 1, n), node, "factors and pivots")
    if node.op == "lu_solve":
        right = node.inputs[2].shape
        _expect(right[:-1] == (*batch, n) and node.shape == right, node, "(.., n, n) and (.., n, k)")
    elif node.op == "log_determinant":
        _expect(node.shape == tuple(batch), node, "a number for each matrix")


def _check_scan(node: Node) -> None:
    body, length, _reverse = node.attributes
    _expect(len(node.inputs) == len(body.graph.inputs), node, "an input of the body for each input")
    for position, (outside, inside) in enumerate(zip(node.inputs, body.graph.inputs)):
        sliced = body.carries <= position < body.carries + body.slices
        _expect(outside.shape == ((length, *inside.shape) if sliced else inside.shape), node, f"input {position}")
        _expect(outside.kind == "f", node, "floats")
    for before, after in zip(body.graph.inputs, body.graph.outputs[: body.carries]):
        _expect(before.shape == after.shape, node, "carries keep their shape")
    _expect(node.shape == (sum(body.sizes(length)),), node, "a flat value")
    verify(body.graph)


def _check_same(node: Node) -> None:
    _expect(node.shape == node.inputs[0].shape and node.kind == node.inputs[0].kind, node, "as its source")


_CHECKS: dict[str, Callable[[Node], None]] = {
    "view": _check_view,
    "assemble": _check_assemble,
    "reduce": _check_reduce,
    "take": _check_rows,
    "put": _check_rows,
    "cumsum": _check_same,
    "stop": _check_same,
    "matmul": _check_algebra,
    "cholesky": _check_algebra,
    "cholesky_adjoint": _check_algebra,
    "solve": _check_algebra,
    "lu": _check_factors,
    "lu_solve": _check_factors,
    "log_determinant": _check_factors,
    "scan": _check_scan,
}


def verify(graph: Graph) -> None:
    """Check every node of a graph against the table above.

    Raises:
        AssertionError: a pass or a rule of ours made a graph that means nothing.
    """
    for node in graph.nodes():
        if node.op in POINTWISE:
            _check_pointwise(node)
        elif node.op == "data":
            _expect(tuple(graph.data[node.attributes[0]].shape) == node.shape, node, "the shape of its slot")
        elif node.op == "input":
            _expect(graph.inputs[node.attributes[0]] is node, node, "is an input of the graph")
        elif node.op == "literal":
            _expect(node.shape == (), node, "is a scalar")
        else:
            _expect(node.op in _CHECKS, node, "a known operation")
            _CHECKS[node.op](node)
