"""Computes once, before the first call, what depends on data alone."""

from __future__ import annotations

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.graph import Body, Graph, Node, nested
from pyroxene.compiler.passes.rewrite import rewrite

__all__ = ["fold"]

GROWTH = 2
"""A folded tensor may be so many times larger than the data it is made of; an outer product is computed as read."""

SMALL = 4096


def _worth_it(node: Node, bases: dict[int, int]) -> bool:
    return node.size <= max(SMALL, GROWTH * bases[id(node)])


def fold(graph: Graph) -> Graph:
    """Return an equal graph in which nodes that depend on data alone are slots of data."""
    slots: dict[int, torch.Tensor] = {}
    for inner in nested(graph):
        slots.update(_values(inner))

    def rule(b: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        value = slots.get(id(node))
        if value is None:
            return None
        if value.numel() > 1 and bool((value == value.flatten()[0]).all()):
            return b.expand(b.constant(value.flatten()[0].clone().reshape(())), node.shape)
        return b.constant(value)

    return compact(rewrite(graph, rule))


def _values(graph: Graph) -> dict[int, torch.Tensor]:
    """Return the values of the nodes that are to become slots."""
    order = graph.nodes()
    bases: dict[int, int] = {}  # the largest tensor that a fixed node is made of
    chosen: set[int] = set()
    for node in order:
        bases[id(node)] = node.size if not node.inputs else max(bases[id(source)] for source in node.inputs)
        if node.inputs and node.fixed and node.op != "view" and _worth_it(node, bases):
            chosen.add(id(node))
    outer = {id(s) for node in order if id(node) not in chosen and node.op != "view" for s in _behind_views(node)}
    outer.update(id(node) for node in graph.outputs)
    wanted = [node for node in order if id(node) in chosen and id(node) in outer]
    values = evaluate(graph, [], wanted)
    return {id(node): value.contiguous() for node, value in zip(wanted, values)}


def _behind_views(node: Node) -> list[Node]:
    found = []
    for source in node.inputs:
        while source.op == "view":
            source = source.inputs[0]
        found.append(source)
    return found


def compact(graph: Graph) -> Graph:
    """Drop the slots of data that no node reads, so that the source does not depend on what was folded away."""
    used = sorted({node.attributes[0] for inner in nested(graph) for node in inner.nodes() if node.op == "data"})
    number = {slot: position for position, slot in enumerate(used)}
    data: list[torch.Tensor] = [graph.data[slot] for slot in used]
    return _renumbered(graph, number, data, {})


def _renumbered(graph: Graph, number: dict[int, int], data: list[torch.Tensor], bodies: dict[int, Body]) -> Graph:
    new: dict[int, Node] = {}
    b = Builder(data)
    b.adopt(graph.inputs)
    for node in graph.nodes():
        b.note, b.source = node.note, node.source
        attributes = node.attributes
        if node.op == "data":
            attributes = (number[attributes[0]],)
        elif not node.inputs:
            b.remember(node)
            new[id(node)] = node
            continue
        elif node.op == "scan":
            body = attributes[0]
            if id(body) not in bodies:
                inner = _renumbered(body.graph, number, data, bodies)
                bodies[id(body)] = Body(inner, body.carries, body.slices)
            attributes = (bodies[id(body)], *attributes[1:])
        new[id(node)] = b.make(node.op, tuple(new[id(s)] for s in node.inputs), attributes, node.shape, node.kind)
    return b.graph([new[id(node)] for node in graph.outputs])
