"""Which dimensions of a graph's nodes run together, and which of them each node's loop runs over.

Two dimensions belong to one axis where element i of one needs just element i of the other. Every computed tensor is
then given one row axis, the longest of its own; tensors of one row axis can be computed block by block of rows in one
loop, because along it they need nothing but the same rows of each other.
"""

from __future__ import annotations

from collections import Counter

from pyroxene.compiler.graph import LEAVES, POINTWISE, Graph, Node
from pyroxene.compiler.strides import contiguous

__all__ = ["LOOPED", "Axes", "read_through"]

LOOPED = frozenset({*POINTWISE, "reduce", "take", "put"})
"""What is computed in loops over rows; all else that is no leaf, view or assembly is a call on whole tensors."""


def read_through(node: Node) -> tuple[Node, tuple[int, ...], int]:
    """Return what stands behind a node that may be a view, with the strides and offset it is read by."""
    if node.op != "view":
        return node, contiguous(node.shape), 0
    strides, offset = node.attributes
    return node.inputs[0], strides, offset


class Axes:
    """Axis of each dimension of the nodes that loops compute; final.

    Attributes:
        extent: of each axis.
        apart: pairs (consumer, source) that cannot be in step: the source must be complete first.
    """

    def __init__(self, graph: Graph) -> None:
        self._parent: list[int] = []
        self.extent: list[int] = []
        self._members: list[dict[int, int]] = []  # of each axis, which dimension of which node it is
        self._of: dict[int, list[int]] = {}
        self.apart: set[tuple[int, int]] = set()
        looped: list[Node] = []
        for node in graph.nodes():
            if node.op in LOOPED and node.op not in LEAVES:
                self._enter(node)
                looped.append(node)
        self._merge(looped)

    def _new(self, node: Node, dimension: int, size: int) -> int:
        axis = len(self._parent)
        self._parent.append(axis)
        self.extent.append(size)
        self._members.append({id(node): dimension})
        return axis

    def find(self, axis: int) -> int:
        """Return the representative of an axis."""
        while self._parent[axis] != axis:
            self._parent[axis] = self._parent[self._parent[axis]]
            axis = self._parent[axis]
        return axis

    def of(self, node: Node) -> list[int]:
        """Return the axis of each dimension of a node's iteration: for a reduction that of its source."""
        return [self.find(axis) for axis in self._of[id(node)]]

    def result(self, node: Node) -> list[int]:
        """Return the axis of each dimension of a node's value."""
        axes = self.of(node)
        if node.op == "reduce":
            return [axis for dimension, axis in enumerate(axes) if dimension not in node.attributes[1]]
        return axes

    def _enter(self, node: Node) -> None:
        shape = node.inputs[0].shape if node.op in ("reduce", "put") else node.shape
        self._of[id(node)] = [self._new(node, dimension, size) for dimension, size in enumerate(shape)]
        if node.op == "take":
            self._connect(node, node.inputs[1], range(len(node.inputs[1].shape)))
        elif node.op == "put":
            self._connect(node, node.inputs[0], range(len(shape)))
            self._connect(node, node.inputs[1], range(len(node.inputs[1].shape)))
        else:
            for source in node.inputs:
                self._connect(node, source, range(len(shape)))

    def _connect(self, node: Node, source: Node, dimensions: range) -> None:
        """Put a node in step with what it reads, where that is computed in a loop too."""
        base, strides, offset = read_through(source)
        if id(base) not in self._of or base.op == "put" or base.size == 1:
            return
        pairs = self._in_step(node, base, strides, offset, dimensions)
        if pairs is None or not self._join(pairs):
            self.apart.add((id(node), id(base)))

    def _in_step(
        self, node: Node, base: Node, strides: tuple[int, ...], offset: int, dimensions: range
    ) -> list[tuple[int, int]] | None:
        """Match dimensions of a read with those of the value read; None where one is not simply the other."""
        if offset != 0:
            return None
        own = contiguous(base.shape)
        value_axes = self.result(base)
        pairs = []
        matched = set()
        for dimension in dimensions:
            if strides[dimension] == 0:
                continue
            axis = self._of[id(node)][dimension]
            found = [
                d
                for d, (stride, size) in enumerate(zip(own, base.shape))
                if stride == strides[dimension] and size == self.extent[axis] and d not in matched
            ]
            if not found:
                return None
            matched.add(found[0])
            pairs.append((axis, value_axes[found[0]]))
        if any(size > 1 and d not in matched for d, size in enumerate(base.shape)):
            return None
        return pairs

    def _join(self, pairs: list[tuple[int, int]]) -> bool:
        """Make axes one; False where a node would have one axis twice.

        What was joined before that stays so, which does no harm: the pair that asked is kept apart.
        """
        for first, second in pairs:
            a, c = self.find(first), self.find(second)
            if a == c:
                continue
            if len(self._members[a]) < len(self._members[c]):
                a, c = c, a
            if any(key in self._members[a] for key in self._members[c]):
                return False
            self._parent[c] = a
            self._members[a].update(self._members[c])
        return True

    def _merge(self, nodes: list[Node]) -> None:
        """Let loops of equal length that have nothing to do with each other be one."""
        first: dict[int, int] = {}
        for node in nodes:
            if self._of[id(node)]:
                axis = self.rows(node)
                other = first.setdefault(self.extent[axis], axis)
                if self.extent[axis] > 1:
                    self._join([(other, axis)])
        inner: dict[tuple[int, int, int], int] = {}  # by row axis, length and how many such there are before
        for node in nodes:
            if self._of[id(node)]:
                rows = self.rows(node)
                seen: Counter[int] = Counter()
                for axis in self.of(node):
                    size = self.extent[axis]
                    if axis != rows and size > 1:
                        other = inner.setdefault((rows, size, seen[size]), axis)
                        seen[size] += 1
                        self._join([(other, axis)])

    def rows(self, node: Node) -> int:
        """Return the axis that a node's loop runs over: the longest of its iteration."""
        axes = self.of(node)
        return max(axes, key=lambda axis: (self.extent[axis], -axis))
