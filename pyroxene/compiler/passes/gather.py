"""Gathers before it computes: where few elements of a pointwise result are read, only these are computed.

A categorical density takes the logarithm of each category's probability and then reads the observed one. This pass is
run before the reverse pass, whose loops become as short.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.graph import POINTWISE, Graph, Node, verify
from pyroxene.compiler.strides import Shape, contiguous

__all__ = ["gather_early"]

ROUNDS = 4
"""How often it is done again, for what a gather that was moved then reads."""

GATHER = 4
"""What a gather, with the scatter that is its adjoint, costs beside an operation of arithmetic."""

FUNCTION = 8
"""What any other pointwise operation costs."""

_ARITHMETIC = frozenset(
    """neg abs square add sub mul maximum minimum eq ne lt le gt ge and or xor not isnan where iadd isub imul as_float
    as_int as_bool""".split()
)


@dataclass
class _Plan:
    """One move; final.

    Attributes:
        takes: gathers by data, and nothing else reads what they read.
        chain: in order, the pointwise nodes that are computed for them alone, all of one shape.
    """

    takes: list[Node]
    chain: list[Node]


def gather_early(graph: Graph) -> Graph:
    """Return an equal graph that computes fewer elements; loops' bodies are left alone. Verified."""
    for _ in range(ROUNDS):
        plans = _plans(graph)
        if not plans:
            break
        graph = _moved(graph, plans)
        verify(graph)
    return graph


def _plans(graph: Graph) -> list[_Plan]:
    order = graph.nodes()
    takes: dict[int, list[Node]] = defaultdict(list)  # by the node that they read
    for node in order:
        if node.op == "take" and node.inputs[1].fixed and len(node.inputs[0].shape) == 1:
            source = node.inputs[0]
            takes[id(source.inputs[0] if source.op == "view" else source)].append(node)
    roots = [n for n in order if id(n) in takes and n.op in POINTWISE and not n.fixed]
    if not roots:
        return []
    users: dict[int, list[Node | None]] = defaultdict(list)
    for node in order:
        for source in node.inputs:
            users[id(source)].append(node)
    for node in graph.outputs:
        users[id(node)].append(None)
    position = {id(node): number for number, node in enumerate(order)}
    plans = []
    for root in roots:
        if sum(take.size for take in takes[id(root)]) < root.size and _only_taken(root, users):
            plan = _Plan(takes[id(root)], _chain(root, position, users))
            if _pays(graph, plan):
                plans.append(plan)
    return plans


def _only_taken(node: Node, users: dict[int, list[Node | None]]) -> bool:
    """Say whether a value is read by gathers by data alone, of it or of views of it."""
    for user in users[id(node)]:
        if user is None or user.op not in ("take", "view"):
            return False
        if user.op == "view" and not (node.op != "view" and _only_taken(user, users)):
            return False
        if user.op == "take" and not (user.inputs[1].fixed and len(node.shape) == 1):
            return False
    return True


def _chain(root: Node, position: dict[int, int], users: dict[int, list[Node | None]]) -> list[Node]:
    """Return a node and those of its shape that are computed for it alone, in order."""
    found = {id(root)}
    chain = [root]
    at = {position[id(source)]: source for source in root.inputs}
    waiting = [-place for place in at]  # the last first: whether all its users are found is then known
    heapq.heapify(waiting)
    while waiting:
        node = at[-heapq.heappop(waiting)]
        if node.op not in POINTWISE or node.fixed or node.shape != root.shape:
            continue
        if all(id(user) in found for user in users[id(node)]):
            found.add(id(node))
            chain.append(node)
            for source in node.inputs:
                if position[id(source)] not in at:
                    at[position[id(source)]] = source
                    heapq.heappush(waiting, -position[id(source)])
    return chain[::-1]


def _pays(graph: Graph, plan: _Plan) -> bool:
    """Compare the elements that are not computed with the gathers that are added."""
    count = sum(take.size for take in plan.takes)
    weight = sum(1 if node.op in _ARITHMETIC else FUNCTION for node in plan.chain)
    saved = weight * (plan.chain[-1].size - count)
    inside = {id(node) for node in plan.chain}
    leaves = {id(s): s for node in plan.chain for s in node.inputs if id(s) not in inside and not s.fixed}
    spent = 0
    for take in plan.takes:
        where = _positions(graph, take)
        gathers = sum(_strided(_through(leaf, where)) is None for leaf in leaves.values())
        spent += GATHER * gathers * take.size  # the gather that there was pays for keeping what others read
    return saved > spent


def _positions(graph: Graph, take: Node) -> torch.Tensor:
    """Return which element of the pointwise value each element of a gather is."""
    source, index = take.inputs
    (rows,) = evaluate(graph, [], [index])
    if source.op != "view":
        return rows
    (stride,), offset = source.attributes
    return offset + stride * rows


def _through(node: Node, where: torch.Tensor) -> torch.Tensor:
    """Return which elements of its source some elements of a view are; of another node, the same."""
    if node.op != "view":
        return where
    strides, offset = node.attributes
    found = torch.full_like(where, offset)
    for own, size, stride in zip(contiguous(node.shape), node.shape, strides):
        if size > 1 and stride != 0:
            found += where // own % size * stride
    return found


def _strided(where: torch.Tensor) -> tuple[Shape, int] | None:
    """Return strides and offset where positions are those of a view."""
    offset = int(where.flatten()[0]) if where.numel() else 0
    strides = []
    expected = torch.full_like(where, offset)
    for axis, size in enumerate(where.shape):
        step = 0
        if size > 1 and where.numel():
            step = int(where[tuple(1 if a == axis else 0 for a in range(where.dim()))]) - offset
        strides.append(step)
        expected += (torch.arange(size) * step).reshape([-1 if a == axis else 1 for a in range(where.dim())])
    return (tuple(strides), offset) if torch.equal(expected, where) else None


def _moved(graph: Graph, plans: list[_Plan]) -> Graph:
    plan_of = {id(take): plan for plan in plans for take in plan.takes}
    b = Builder(list(graph.data))
    b.adopt(graph.inputs)
    new: dict[int, Node] = {}
    for node in graph.nodes():
        b.note, b.source = node.note, node.source
        if not node.inputs:
            b.remember(node)
            new[id(node)] = node
        elif id(node) in plan_of:
            new[id(node)] = _computed_late(b, graph, node, plan_of[id(node)], new)
        else:
            new[id(node)] = b.rebuild(node, tuple(new[id(source)] for source in node.inputs))
    return b.graph([new[id(node)] for node in graph.outputs])


def _computed_late(b: Builder, graph: Graph, take: Node, plan: _Plan, new: dict[int, Node]) -> Node:
    """Return a gather's value, computed from gathers of what its chain reads."""
    where = _positions(graph, take)
    late: dict[int, Node] = {}
    for node in plan.chain:
        for source in node.inputs:
            if id(source) not in late:
                late[id(source)] = _gathered(b, new[id(source)], where)
        b.note, b.source = node.note, node.source
        late[id(node)] = b.pointwise(node.op, tuple(late[id(source)] for source in node.inputs), node.attributes)
    return late[id(plan.chain[-1])]


def _gathered(b: Builder, source: Node, where: torch.Tensor) -> Node:
    """Return some elements of a value, by a view where one shows them."""
    where = _through(source, where)
    base = source.inputs[0] if source.op == "view" else source
    view = _strided(where)
    if view is not None:
        return b.view(base, tuple(where.shape), *view)
    return b.take(b.reshape(base, (base.size,)), b.table(where.contiguous()))
