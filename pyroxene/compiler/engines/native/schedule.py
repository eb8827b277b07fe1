"""When each node is computed: scalars, loops over rows and calls on whole tensors, in steps; and what has to be kept.

Step t runs its scalars, then its loops, then its calls. A loop computes all nodes of one row axis and one step; inside
it, nodes of one nest share the innermost loops.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

from pyroxene.compiler.engines.native.axes import LOOPED, Axes, read_through
from pyroxene.compiler.engines.native.expressions import has_positive_form
from pyroxene.compiler.graph import LEAVES, POINTWISE, Graph, Node
from pyroxene.compiler.strides import is_injective

__all__ = ["Loop", "Nest", "Schedule", "Step", "is_scalar"]

UNROLLED_AXIS = 8
"""The longest axis whose elements are written out as statements, so that the rows can be the vectorised loop."""

UNROLLED_NODE = 16
"""Into how many statements one node may be written out."""

FEWEST_ROWS = 24
"""Loops of fewer rows are not parted around functions."""

CALLED = frozenset(
    """exp log log1p expm1 log2 log10 exp2 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc pow
    atan2 hypot lgamma digamma polygamma erfcx""".split()
)
"""Pointwise operations that are functions of libm, of its vector form, or of `csrc/special.h`."""

CALLS = frozenset({"cumsum", "matmul", "cholesky", "cholesky_adjoint", "solve", "lu", "lu_solve", "scan"})


@dataclass
class Nest:
    """Nodes of a loop that are computed in the same innermost loops; final.

    Attributes:
        space: the axes besides the rows.
        nodes: in order.
    """

    space: tuple[int, ...]
    nodes: list[Node]


@dataclass
class Loop:
    """Nodes that are computed together, block by block of rows; final.

    Attributes:
        axis: the rows.
        extent: how many.
        unrolled: short axes, written out as statements instead of loops.
        nests: in order.
    """

    axis: int
    extent: int
    unrolled: frozenset[int]
    nests: list[Nest] = field(default_factory=list)


@dataclass
class Step:
    """What happens between two moments at which everything before is complete; final.

    Attributes:
        scalars: single numbers, in order.
        loops: independent of each other.
        calls: on whole tensors; assemblies here have pieces that are copied.
        begun: assemblies whose first piece is written in this step.
    """

    scalars: list[Node] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    calls: list[Node] = field(default_factory=list)
    begun: list[Node] = field(default_factory=list)


def is_scalar(node: Node) -> bool:
    """Say whether a node is one number that is computed outside of loops."""
    if node.op == "reduce":
        return node.inputs[0].size == 1
    return node.op in POINTWISE and node.size == 1


def is_direct(whole: Node, position: int) -> bool:
    """Say whether a piece of an assembly is written where it is computed, rather than copied afterwards."""
    piece = whole.inputs[position]
    if is_scalar(piece):
        return True
    strides, _offset = whole.attributes[0][position]
    return piece.op in LOOPED and piece.op not in ("put", "reduce") and is_injective(piece.shape, strides)


def _is_of(source: Node, node: Node) -> bool:
    return read_through(source)[0] is node


class Schedule:
    """The steps of a graph; final.

    Attributes:
        steps: in order.
        kept: nodes whose value is needed outside of the loop that computes them, in memory of its own.
        carried: nodes that another nest of the same loop needs, in memory of a block.
        axes: of the nodes in loops.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = graph.nodes()
        self.axes = Axes(graph)
        self.time: dict[int, int] = {}
        self._rows: dict[int, int] = {}
        self.users: dict[int, list[Node]] = defaultdict(list)
        for node in self.order:
            if node.op != "view":
                for source in node.inputs:
                    self.users[id(read_through(source)[0])].append(node)
        for node in self.order:
            if node.op in LOOPED and not is_scalar(node):
                self._rows[id(node)] = self.axes.rows(node)
        for node in self.order:
            self.time[id(node)] = self._earliest(node)
        self._sink()
        self.begins: dict[int, int] = {}
        self.steps = self._steps()
        self.kept, self.carried = self._storage()

    def first_step(self, node: Node) -> int:
        """Return the step in which a value is first written."""
        return self.begins.get(id(node), self.time[id(node)])

    def last_step(self, node: Node) -> int:
        """Return the last step in which a value is written or read."""
        if any(node is output or read_through(output)[0] is node for output in self.graph.outputs):
            return len(self.steps)
        return max([self.time[id(node)], *(self.time[id(user)] for user in self.users[id(node)])])

    def rows(self, node: Node) -> int | None:
        """Return the row axis of the loop that computes a node, None where no loop does."""
        return self._rows.get(id(node))

    def in_step(self, node: Node, base: Node) -> bool:
        """Say whether a node of a loop needs just the same rows of another."""
        rows = self._rows.get(id(node))
        return (
            rows is not None
            and rows == self._rows.get(id(base))
            and (id(node), id(base)) not in self.axes.apart
            and base.op != "put"
            and rows in self.axes.result(base)
            and self._reads_rows(node, base)
        )

    def _reads_rows(self, node: Node, base: Node) -> bool:
        """A gather reads any row of its source; only its index is in step."""
        if node.op == "take" and read_through(node.inputs[0])[0] is base:
            return False
        return True

    def _earliest(self, node: Node) -> int:
        time = 0
        for position, source in enumerate(node.inputs):
            base = read_through(source)[0]
            if base.op in LEAVES:
                continue
            then = self.time[id(base)]
            if is_scalar(base):
                wait = 0
            elif node.op == "view":
                wait = 0
            elif node.op == "assemble":
                wait = 0 if is_direct(node, position) else 1
            else:
                wait = 0 if self.in_step(node, base) else 1
            time = max(time, then + wait)
        return time

    def _sink(self) -> None:
        """Compute late what only later loops need, where that leaves no more to be kept."""
        for node in reversed(self.order):
            if id(node) not in self._rows or node.op not in POINTWISE:
                continue
            users = self.users[id(node)]
            if not users or not all(self.in_step(user, node) for user in users):
                continue
            latest = min(self.time[id(user)] for user in users)
            if latest <= self.time[id(node)]:
                continue
            bases = {id(base): base for base in (read_through(source)[0] for source in node.inputs)}
            kept = [b for b in bases.values() if id(b) in self._rows and self.in_step(node, b)]
            if len(kept) <= 1:
                self.time[id(node)] = latest

    def _steps(self) -> list[Step]:
        steps = [Step() for _ in range(max(self.time.values(), default=0) + 1)]
        grouped: dict[tuple[int, int], list[Node]] = defaultdict(list)
        for node in self.order:
            time = self.time[id(node)]
            if node.op in LEAVES or node.op == "view":
                continue
            if is_scalar(node):
                steps[time].scalars.append(node)
            elif id(node) in self._rows:
                grouped[time, self._rows[id(node)]].append(node)
            elif node.op == "assemble":
                direct = [is_direct(node, position) for position in range(len(node.inputs))]
                begin = min(self.time[id(p)] if d else time for p, d in zip(node.inputs, direct))
                self.begins[id(node)] = begin
                steps[begin].begun.append(node)
                if not all(direct):
                    steps[time].calls.append(node)
            else:
                assert node.op in CALLS, node
                steps[time].calls.append(node)
        for (time, axis), nodes in sorted(grouped.items()):
            steps[time].loops.append(self._loop(axis, nodes))
        return steps

    def space(self, node: Node, loop: Loop) -> tuple[int, ...]:
        """Return the axes of a node's loops besides the rows."""
        extent = self.axes.extent
        return tuple(a for a in self.axes.of(node) if a != loop.axis and extent[a] > 1 and a not in loop.unrolled)

    def _unrolled(self, rows: int, nodes: list[Node]) -> frozenset[int]:
        """Return the axes to write out: short ones, as long as no node becomes too many statements."""
        extent = self.axes.extent
        short = {a for node in nodes for a in self.axes.of(node) if a != rows and 1 < extent[a] <= UNROLLED_AXIS}
        for axis in sorted(short, key=lambda a: -extent[a]):
            most = max(math.prod(extent[a] for a in self.axes.of(node) if a in short) for node in nodes)
            if most <= UNROLLED_NODE:
                break
            short.discard(axis)
        return frozenset(short)

    def _loop(self, rows: int, nodes: list[Node]) -> Loop:
        loop = Loop(rows, self.axes.extent[rows], self._unrolled(rows, nodes))
        level: dict[int, int] = {}
        keys: dict[int, tuple[object, ...]] = {}
        nests: dict[tuple[int, tuple[object, ...]], Nest] = {}
        for node in nodes:
            space = self.space(node, loop)
            key: tuple[object, ...] = (node.op == "put", *sorted(space))
            own = 0
            for source in node.inputs:
                base = read_through(source)[0]
                if id(base) in level:
                    same = keys[id(base)] == key and not self.ends_nest(base, loop)
                    own = max(own, level[id(base)] + (0 if same else 1))
            level[id(node)], keys[id(node)] = own, key
            nests.setdefault((own, key), Nest(space, [])).nodes.append(node)
        loop.nests = [part for key in sorted(nests) for part in self._around_functions(nests[key], loop)]
        return loop

    def _around_functions(self, nest: Nest, loop: Loop) -> list[Nest]:
        """Part a nest where functions are called, so that nothing has to live in registers while they run.

        A function of a vector may use all vector registers: sums and values that are needed after it would be stored
        and loaded around each call. So calls come as early as they can, and all else as late: sums in the last part.
        """
        called = {id(node) for node in nest.nodes if node.op in CALLED}
        if not called or nest.space or loop.extent < FEWEST_ROWS or any(node.op == "put" for node in nest.nodes):
            return [nest]
        inside = {id(node): node for node in nest.nodes}
        part: dict[int, int] = {}
        for node in nest.nodes:
            bases = [read_through(source)[0] for source in node.inputs]
            part[id(node)] = max((part[id(b)] + (id(b) in called) for b in bases if id(b) in inside), default=0)
        last = max(part[id(node)] + (id(node) in called) for node in nest.nodes)
        for node in reversed(nest.nodes):
            if id(node) not in called:
                part[id(node)] = min((part[id(u)] for u in self.users[id(node)] if id(u) in inside), default=last)
        parts = [Nest(nest.space, [n for n in nest.nodes if part[id(n)] == number]) for number in range(last + 1)]
        return [found for found in parts if found.nodes]

    def can_be_repeated(self, nest: Nest, loop: Loop) -> bool:
        """Say whether a nest has functions with a form for positive arguments, and adds to nothing."""
        writes = (user for node in nest.nodes for user in self.users[id(node)] if user.op == "assemble")
        return (
            any(map(has_positive_form, nest.nodes))
            and not any(node.op == "put" or self.ends_nest(node, loop) for node in nest.nodes)
            and all(disjoint for _, disjoint in (user.attributes for user in writes))
        )

    def ends_nest(self, node: Node, loop: Loop) -> bool:
        """Say whether a value is there only after a nest's loops: a reduction over more than written-out axes."""
        if node.op != "reduce":
            return False
        axes = self.axes.of(node)
        extent = self.axes.extent
        return any(axes[d] not in loop.unrolled and extent[axes[d]] > 1 for d in node.attributes[1])

    def _storage(self) -> tuple[set[int], set[int]]:
        place: dict[int, tuple[tuple[int, int], int]] = {}
        for number, step in enumerate(self.steps):
            for which, loop in enumerate(step.loops):
                for position, nest in enumerate(loop.nests):
                    for node in nest.nodes:
                        place[id(node)] = ((number, which), position)
        kept: set[int] = set()
        carried: set[int] = set()
        for node in self.order:
            if id(node) not in place:
                continue
            if node.op == "put" or (node.op == "reduce" and self._rows[id(node)] not in self.axes.result(node)):
                if node.size > 1:
                    kept.add(id(node))
                continue
            for user in self.users[id(node)]:
                there = place.get(id(user))
                if user.op == "assemble" and all(
                    is_direct(user, position) for position, piece in enumerate(user.inputs) if _is_of(piece, node)
                ):
                    continue
                if there is None or there[0] != place[id(node)][0] or not self.in_step(user, node):
                    kept.add(id(node))
                elif there[1] != place[id(node)][1]:
                    carried.add(id(node))
        for output in self.graph.outputs:
            node = read_through(output)[0]  # of one element that is returned the whole may be in a loop
            if id(node) in place and node.size > 1:
                kept.add(id(node))
        return kept, carried - kept
