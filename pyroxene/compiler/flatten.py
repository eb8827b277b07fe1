"""Graphs as plain lists, to be pickled: nodes that hold nodes would recurse as deep as the program is long."""

from __future__ import annotations

from typing import Any

from pyroxene.compiler.graph import Body, Graph, Node

__all__ = ["flatten", "restore"]


def flatten(graph: Graph) -> dict[str, Any]:
    """Return a graph as lists, tuples and tensors; its notes and sources are left behind."""
    order = graph.nodes()
    for node in graph.inputs:
        if all(node is not other for other in order):
            order.insert(0, node)
    number = {id(node): position for position, node in enumerate(order)}
    rows = []
    for node in order:
        attributes = node.attributes
        if node.op == "scan":
            body: Body = attributes[0]
            attributes = ((flatten(body.graph), body.carries, body.slices), *attributes[1:])
        rows.append((node.op, [number[id(source)] for source in node.inputs], attributes, node.shape, node.kind))
    return {
        "nodes": rows,
        "inputs": [number[id(node)] for node in graph.inputs],
        "outputs": [number[id(node)] for node in graph.outputs],
        "data": list(graph.data),
    }


def restore(flat: dict[str, Any], data: list[Any] | None = None) -> Graph:
    """Return the graph of its lists.

    Args:
        flat: what `flatten` gave.
        data: the slots; those of the lists where not given. The bodies of loops share them.
    """
    data = flat["data"] if data is None else data
    nodes: list[Node] = []
    for op, sources, attributes, shape, kind in flat["nodes"]:
        if op == "scan":
            inner, carries, slices = attributes[0]
            attributes = (Body(restore(inner, data), carries, slices), *attributes[1:])
        nodes.append(Node(op, tuple(nodes[position] for position in sources), attributes, shape, kind))
    return Graph([nodes[p] for p in flat["inputs"]], [nodes[p] for p in flat["outputs"]], data)
