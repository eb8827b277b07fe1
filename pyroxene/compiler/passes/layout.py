"""Stores tall tables of data by columns, so that the rows, which are many, are the vectorised loop of their products.

By rows each product of a row would end in a sum across a vector register; by columns there is none. A table that does
not fit in the caches stays as it is: there memory decides the speed, and a copy costs memory.
"""

from __future__ import annotations

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Graph, Node, verify
from pyroxene.compiler.strides import compose

__all__ = ["by_columns"]

LARGEST = 2**19
"""Elements of a table that is turned: 4 MiB."""

COLUMNS = range(2, 513)
"""How many columns it may have. A few are written out as statements: by columns each is then read in order, not every
fifth number, say: a gradient of an autoregression of order 5 takes 0.16 us in the place of 0.59."""


def _table(node: Node, users: list[Node]) -> tuple[int, int] | None:
    """Return rows and columns of a slot of data that is used as a table, every use being one that can be turned."""
    shape = node.shape
    if len(shape) == 1:
        shapes = {
            u.shape for u in users if u.op == "view" and len(u.shape) == 2 and u.attributes == ((u.shape[1], 1), 0)
        }
        if len(shapes) != 1:
            return None
        (shape,) = shapes
    if node.kind != "f" or len(shape) != 2 or shape[0] * shape[1] != node.size or node.size > LARGEST:
        return None
    rows, columns = shape
    if rows < 4 * columns or columns not in COLUMNS:
        return None
    for user in users:
        if user.op == "view":
            if compose((rows, columns), (1, rows), 0, user.shape, *user.attributes) is None:
                return None
        elif len(node.shape) == 1 or user.op not in ("mul", "add", "sub", "div"):
            return None
    return rows, columns


def by_columns(graph: Graph) -> Graph:
    """Return an equal graph whose tall tables of data are stored by columns. Loops' bodies are left alone. Verified."""
    order = graph.nodes()
    users: dict[int, list[Node]] = {id(node): [] for node in order}
    inside = {s for node in order if node.op == "scan" for s in _slots(node.attributes[0].graph)}
    for node in order:
        for source in node.inputs:
            users[id(source)].append(node)
    tables = {
        id(node): found
        for node in order
        if node.op == "data"
        and node.attributes[0] not in inside
        and (found := _table(node, users[id(node)])) is not None
    }
    if not tables:
        return graph
    data = list(graph.data)
    b = Builder(data)
    b.adopt(graph.inputs)
    new: dict[int, Node] = {}
    for node in order:
        b.note, b.source = node.note, node.source
        if id(node) in tables:
            rows, columns = tables[id(node)]
            slot = node.attributes[0]
            data[slot] = data[slot].reshape(rows, columns).T.contiguous()
            turned = b.make("data", (), (slot,), (columns, rows), "f")
            new[id(node)] = b.view(turned, (rows, columns), (1, rows), 0)
        elif not node.inputs:
            b.remember(node)
            new[id(node)] = node
        elif node.op == "scan":
            new[id(node)] = b.make("scan", tuple(new[id(s)] for s in node.inputs), node.attributes, node.shape, "f")
        else:
            new[id(node)] = b.rebuild(node, tuple(new[id(source)] for source in node.inputs))
    turned_graph = Graph(list(graph.inputs), [new[id(node)] for node in graph.outputs], data)
    verify(turned_graph)
    return turned_graph


def _slots(graph: Graph) -> set[int]:
    """Return the slots that a loop's body reads."""
    found = {node.attributes[0] for node in graph.nodes() if node.op == "data"}
    for node in graph.nodes():
        if node.op == "scan":
            found |= _slots(node.attributes[0].graph)
    return found
