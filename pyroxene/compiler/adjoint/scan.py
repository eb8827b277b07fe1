"""Adjoints of loops: a loop that runs backwards, on values that the forward loop has saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import POINTWISE, Body, Graph, Node, ordered
from pyroxene.compiler.passes.rewrite import renumbered, rewrite
from pyroxene.compiler.strides import contiguous

__all__ = ["scan_adjoint", "with_residuals"]

PullBack = Callable[[Builder, Sequence[Node], Sequence[Node], Sequence[Node]], list[Node | None]]

_CHEAP = frozenset({"neg", "add", "sub", "mul", "square", "abs", "where", "maximum", "minimum", "sign", "as_float"}) | {
    name for name, kind in POINTWISE.items() if kind.gives == "b"
}
"""What the backward loop computes once more rather than reads; everything else is saved."""

_DEEPEST = 2
"""So many of these may wait for each other: with all 226 operations of a year of Lotka-Volterra computed once more, a
gradient took a quarter longer."""


@dataclass(eq=False)
class _Differentiable(Body):
    """A body that also collects what its backward loop reads, and that loop's body.

    Attributes:
        back: of the backward loop. Its carries are the gradients of the carries, then of the differentiated others; its
            slices the gradients of what is collected, then the forward slices and the saved values it reads.
        read: which inputs of the forward loop the backward one reads: slices, others.
        by: which slices and others gradients are wanted by.
        own: how many outputs the loop has without the saved values.
    """

    back: Body
    read: tuple[tuple[int, ...], tuple[int, ...]]
    by: tuple[tuple[int, ...], tuple[int, ...]]
    own: int


class _Backward:
    """Rebuilds the pulled-back nodes as a graph of their own, cutting them off where a saved value will do."""

    def __init__(self, body: Body, forward: Sequence[Node], graph: Graph) -> None:
        self.b = Builder(graph.data)
        self.kept = _kept(body, forward)
        self.new: dict[int, Node] = {}
        self.saved: list[Node] = []
        self.saved_inputs: list[Node] = []
        self.free: dict[int, Node] = {}  # inputs of the forward body that are read as they are

    def bind(self, old: Node) -> Node:
        """Make an input that stands for an old one."""
        self.new[id(old)] = made = self.b.input(old.shape)
        return made

    def build(self, outputs: Sequence[Node]) -> list[Node]:
        for node in self._order(outputs):
            if id(node) in self.new:
                continue
            if not node.inputs:
                if node.op == "input":
                    self.free[id(node)] = self.bind(node)
                else:
                    self.b.remember(node)
                    self.new[id(node)] = node
            else:
                self.new[id(node)] = self.b.rebuild(node, tuple(self.new[id(source)] for source in node.inputs))
        return [self.new[id(node)] for node in outputs]

    def _order(self, outputs: Sequence[Node]) -> list[Node]:
        """Return what is to be rebuilt, after making inputs of what is saved."""
        reached: set[int] = set()
        stack = list(outputs)
        while stack:
            node = stack.pop()
            if id(node) in reached or id(node) in self.new:
                continue
            reached.add(id(node))
            if id(node) in self.kept:
                self.saved.append(node)
                self.saved_inputs.append(self.bind(node))
                continue
            stack.extend(node.inputs)
        return [node for node in ordered(outputs) if id(node) in reached]


def _kept(body: Body, forward: Sequence[Node]) -> set[int]:
    """Return the nodes of a forward body, in order, that are saved if the backward body needs them."""
    carries = {id(node) for node in body.graph.inputs[: body.carries]}
    kept: set[int] = set()
    depth: dict[int, int] = {}
    for node in forward:
        own = max((depth[id(source)] for source in node.inputs), default=0)
        if node.kind == "f" and not node.fixed and node.op != "view":
            own += bool(node.inputs)
            costly = node.op != "input" and (node.op not in _CHEAP or own > _DEEPEST)
            if costly or id(node) in carries:
                kept.add(id(node))
                own = 0
        depth[id(node)] = own
    return kept


def _differentiable(body: Body, graph: Graph, by: tuple[tuple[int, ...], tuple[int, ...]], pull: PullBack) -> Body:
    inputs, outputs = body.graph.inputs, body.graph.outputs
    slices = inputs[body.carries : body.carries + body.slices]
    others = inputs[body.carries + body.slices :]
    b = Builder(graph.data)
    b.adopt(inputs)
    cotangents = [b.input(node.shape) for node in outputs]
    totals = [b.input(others[position].shape) for position in by[1]]
    sources = [*inputs[: body.carries], *(others[p] for p in by[1]), *(slices[p] for p in by[0])]
    found = pull(b, outputs, cotangents, sources)
    gradients = [b.expand(b.literal(0.0), s.shape) if g is None else g for s, g in zip(sources, found)]
    for position, total in enumerate(totals, start=body.carries):
        gradients[position] = b("add", total, gradients[position])
    backward = _Backward(body, ordered([*outputs, *inputs]), graph)
    for node in [*cotangents[: body.carries], *totals, *cotangents[body.carries :]]:
        backward.bind(node)
    results = backward.build(gradients)
    read_slices = [p for p, node in enumerate(slices) if id(node) in backward.free]
    read_others = [p for p, node in enumerate(others) if id(node) in backward.free]
    sliced = [
        *(backward.new[id(node)] for node in cotangents[body.carries :]),
        *(backward.free[id(slices[p])] for p in read_slices),
        *backward.saved_inputs,
    ]
    carried = [backward.new[id(node)] for node in [*cotangents[: body.carries], *totals]]
    order = [*carried, *sliced, *(backward.free[id(others[p])] for p in read_others)]
    back = Body(renumbered(Graph(order, results, graph.data)), len(carried), len(sliced))
    both = Graph(list(inputs), [*outputs, *backward.saved], graph.data)
    return _Differentiable(
        both, body.carries, body.slices, back, (tuple(read_slices), tuple(read_others)), by, len(outputs)
    )


def with_residuals(graph: Graph, pull: PullBack) -> Graph:
    """Return an equal graph whose loops save what their adjoints will read.

    Args:
        graph: before the reverse pass.
        pull: the reverse pass, for the bodies.
    """
    if not any(node.op == "scan" for node in graph.nodes()):
        return graph
    bodies: dict[tuple[int, object], Body] = {}
    order = graph.nodes()
    active = {id(node) for node in graph.inputs}
    for node in order:
        if node.kind == "f" and any(id(source) in active for source in node.inputs):
            active.add(id(node))
    wanted: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for node in order:
        if node.op == "scan" and id(node) in active:
            body = node.attributes[0]
            flags = [id(source) in active for source in node.inputs]
            sliced = flags[body.carries : body.carries + body.slices]
            others = flags[body.carries + body.slices :]
            wanted[id(node)] = (_where(sliced), _where(others))

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if id(node) not in wanted:
            return None
        body, length, reverse = node.attributes
        key = (id(body), wanted[id(node)])
        if key not in bodies:
            inner = with_residuals(body.graph, pull)
            bodies[key] = _differentiable(Body(inner, body.carries, body.slices), graph, wanted[id(node)], pull)
        loop = b.scan(bodies[key], inputs, length, reverse)
        return b.view(loop, node.shape, contiguous(node.shape), 0)  # saved values stand after all others

    return rewrite(graph, rule)


def _where(flags: Sequence[bool]) -> tuple[int, ...]:
    return tuple(position for position, flag in enumerate(flags) if flag)


def scan_adjoint(b: Builder, parts: Sequence[Node | None], node: Node) -> list[Node | None]:
    """Return the gradients of a loop's inputs from those of its outputs.

    Args:
        b: makes the nodes.
        parts: gradients of the last carries and of what was collected; None for zeros.
        node: the loop, after `with_residuals`.
    """
    body, length, reverse = node.attributes
    assert isinstance(body, _Differentiable)
    carries, slices = body.carries, body.slices
    shapes = [body.part(position, length)[0] for position in range(body.own)]
    given = [b.expand(b.literal(0.0), s) if part is None else part for part, s in zip(parts, shapes)]
    sliced, others = node.inputs[carries : carries + slices], node.inputs[carries + slices :]
    by_slices, by_others = body.by
    inputs = [
        *given[:carries],
        *(b.expand(b.literal(0.0), others[p].shape) for p in by_others),
        *given[carries:],
        *(sliced[p] for p in body.read[0]),
        *(b.part(node, position) for position in range(body.own, len(body.graph.outputs))),
        *(others[p] for p in body.read[1]),
    ]
    loop = b.scan(body.back, inputs, length, not reverse)
    results: list[Node | None] = [None] * len(node.inputs)
    for position in range(carries):
        results[position] = b.part(loop, position)
    for count, position in enumerate(by_others):
        results[carries + slices + position] = b.part(loop, carries + count)
    for count, position in enumerate(by_slices):
        results[carries + position] = b.part(loop, carries + len(by_others) + count)
    return results
