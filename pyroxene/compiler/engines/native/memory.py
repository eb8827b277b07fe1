"""Where values live: arguments, data, outputs and the workspace; and how an element of one is written in C."""

from __future__ import annotations

from collections.abc import Sequence

from pyroxene.compiler.engines.native.axes import read_through
from pyroxene.compiler.engines.native.expressions import number
from pyroxene.compiler.engines.native.schedule import CALLS, Schedule, is_scalar
from pyroxene.compiler.graph import Graph, Node
from pyroxene.compiler.strides import contiguous

__all__ = ["Index", "Memory", "linear"]

Index = int | str
"""A position along one dimension: known, or the name of a loop's variable."""


def linear(strides: Sequence[int], index: Sequence[Index], offset: int = 0) -> str:
    """Return the C expression of offset + sum(strides * index)."""
    terms = []
    for stride, position in zip(strides, index):
        if isinstance(position, int):
            offset += stride * position
        elif stride == 1:
            terms.append(position)
        elif stride != 0:
            terms.append(f"{stride} * {position}")
    if offset or not terms:
        terms.append(str(offset))
    return " + ".join(terms)


class Memory:
    """Names and places of a graph's values; final.

    Attributes:
        size: of the workspace, in doubles.
        uses: what the text written since it was last cleared refers to: scalars and pointers.
    """

    def __init__(self, graph: Graph, schedule: Schedule) -> None:
        self.names: dict[int, str] = {}
        self.size = 0
        self.uses: set[str] = set()
        self._place: dict[int, tuple[str, int]] = {}
        for position, node in enumerate(graph.outputs):
            if node.op == "assemble":
                self._place.setdefault(id(node), (f"g{position}", 0))
        for count, node in enumerate(schedule.order):
            self.names[id(node)] = f"v{count}"
            if node.op == "input":
                self._place[id(node)] = (f"x{node.attributes[0]}", 0)
            elif node.op == "data":
                self._place[id(node)] = (f"d{node.attributes[0]}", 0)
        self._plan(schedule)

    def _plan(self, schedule: Schedule) -> None:
        """Give workspace to what needs it, from the step in which it is written to the last that reads it."""
        needed = [
            node
            for node in schedule.order
            if (id(node) in schedule.kept or node.op == "assemble" or node.op in CALLS) and id(node) not in self._place
        ]
        needed.sort(key=schedule.first_step)
        busy: list[tuple[int, int, int]] = []  # (last step, start, size)
        free: list[tuple[int, int]] = []  # (size, start)
        for node in needed:
            begin = schedule.first_step(node)
            free += [(size, start) for last, start, size in busy if last < begin]
            busy = [entry for entry in busy if entry[0] >= begin]
            size = -(-max(node.size, 1) // 8) * 8
            fitting = [piece for piece in free if size <= piece[0] <= 2 * size]
            if fitting:
                piece = min(fitting)
                free.remove(piece)
                size, start = piece
            else:
                start = self.reserve(size)
            self._place[id(node)] = ("w", start)
            busy.append((schedule.last_step(node), start, size))

    def reserve(self, size: int) -> int:
        """Return the start of so many doubles of workspace, aligned to a cache line."""
        start = self.size
        self.size += -(-max(size, 1) // 8) * 8
        return start

    def place(self, node: Node) -> tuple[str, int]:
        """Return the pointer and offset of a value in memory."""
        pointer, offset = self._place[id(node)]
        self.uses.add(pointer)
        return pointer, offset

    def has_place(self, node: Node) -> bool:
        """Say whether a value lives in memory, rather than in a variable."""
        return id(node) in self._place

    def scalar(self, node: Node) -> str:
        """Return the variable of a node of one element that no loop holds."""
        name = self.names[id(node)]
        self.uses.add(name)
        return name

    def element(self, source: Node, index: Sequence[Index]) -> str:
        """Return an element of a node, or of a view, that is complete."""
        base, strides, offset = read_through(source)
        if base.op == "literal":
            return number(base.attributes[0], base.kind)
        if base.size == 1 and (is_scalar(base) or base.op == "reduce") and not self.has_place(base):
            name = self.scalar(base)
            return f"({name} != 0.0)" if base.kind == "b" and not is_scalar(base) else name
        if base.op == "take" and base.size == 1 and not self.has_place(base):
            return self.scalar(base)
        pointer, start = self.place(base)
        text = f"{pointer}[{linear(strides, index, offset + start)}]"
        if base.op == "data" or base.kind == "f":
            return text
        return f"({text} != 0.0)" if base.kind == "b" else f"(long long){text}"

    def target(self, node: Node, index: Sequence[Index]) -> str:
        """Return the place of an element of a node that is being written."""
        pointer, start = self.place(node)
        return f"{pointer}[{linear(contiguous(node.shape), index, start)}]"
