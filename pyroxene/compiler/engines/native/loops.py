"""Emits one loop over rows: blocks of rows, and inside a block one nest of loops after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from pyroxene.compiler.engines.native.axes import read_through
from pyroxene.compiler.engines.native.expressions import TYPES, expression
from pyroxene.compiler.engines.native.memory import Index, Memory, linear
from pyroxene.compiler.engines.native.schedule import Loop, Nest, Schedule, is_direct
from pyroxene.compiler.graph import Node
from pyroxene.compiler.strides import contiguous

__all__ = ["emit_loop"]

BLOCK = 64
"""Rows of a block: their values stay in the first-level cache, and a pass over a design matrix serves both products."""

WHOLE = 128
"""Up to so many rows are one block."""

STACK = 4096
"""The largest array of doubles on the stack; larger ones take workspace."""

_START = {"sum": "0.0", "prod": "1.0", "max": "(-INFINITY)", "min": "INFINITY", "any": "0.0", "all": "1.0"}
_CLAUSE = {"sum": "+", "prod": "*", "max": "max", "min": "min", "any": "max", "all": "min"}
_OPERATOR = {"sum": "+", "prod": "*", "any": "|", "all": "&"}
_COMPARE = {"max": ">", "any": ">", "min": "<", "all": "<"}


def _combine(how: str, total: str, value: str) -> str:
    """Return a statement that takes one more value into a total."""
    if how in _COMPARE:
        return f"{total} = {value} {_COMPARE[how]} {total} ? {value} : {total};"
    return f"{total} {_CLAUSE[how]}= {value};"


def _both(how: str, one: str, other: str) -> str:
    if how in ("max", "min"):
        return f"({one} {_COMPARE[how]} {other} ? {one} : {other})"
    return f"({one} {_OPERATOR[how]} {other})"


class _Emitter:
    """Text of one loop; `emit_loop` is its only use."""

    def __init__(self, loop: Loop, schedule: Schedule, memory: Memory) -> None:
        self.loop, self.schedule, self.memory = loop, schedule, memory
        self.axes = schedule.axes
        self.lines: list[str] = []
        self.members = {id(node) for nest in loop.nests for node in nest.nodes}
        self.variable: dict[int, Index] = {}  # of each axis, in the statement being written
        self.local: set[int] = set()  # nodes with variables in the nest being written
        self.blocks: dict[int, str] = {}  # arrays of nodes that another nest reads
        self.depth = 1

    def add(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    # indices

    def name(self, node: Node, axes: list[int]) -> str:
        """Return a node's variable, with the position on each written-out axis."""
        positions = [str(self.variable[a]) for a in axes if a in self.loop.unrolled]
        return "_".join([self.memory.names[id(node)], *positions])

    def positions(self, axes: list[int], sizes: tuple[int, ...]) -> list[Index]:
        """Return the index of each dimension, given the axes that they are."""
        return [0 if size == 1 else self.variable[axis] for axis, size in zip(axes, sizes)]

    def unrolled(self, axes: list[int]) -> Iterator[None]:
        """Go through all positions on the written-out axes among some, setting their variables."""
        free = sorted({a for a in axes if a in self.loop.unrolled})
        for position in itertools.product(*[range(self.axes.extent[a]) for a in free]):
            self.variable.update(zip(free, position))
            yield

    # reading

    def read(self, node: Node, source: Node, axes: list[int], sizes: tuple[int, ...]) -> str:
        """Return the element of a source that a node reads, given the axes of its own dimensions."""
        base, _, _ = read_through(source)
        if id(base) in self.members and self.schedule.in_step(node, base):
            return self.own(base)
        return self.memory.element(source, self.positions(axes, sizes))

    def own(self, base: Node) -> str:
        """Return the element of a value of this loop at the rows and axes of the moment."""
        axes = self.axes.result(base)
        if id(base) in self.local:
            return self.name(base, axes)
        carried = id(base) in self.schedule.carried
        text = self.block_element(base, axes) if carried else self.memory.target(base, self.positions(axes, base.shape))
        if base.kind == "i":
            return f"(long long){text}"
        return f"({text} != 0.0)" if base.kind == "b" else text

    def block_element(self, node: Node, axes: list[int]) -> str:
        inner = [a for a in axes if a != self.loop.axis and a not in self.loop.unrolled and self.axes.extent[a] > 1]
        sizes = tuple(self.axes.extent[a] for a in inner)
        strides = (math.prod(sizes), *(math.prod(sizes[d + 1 :]) for d in range(len(sizes))))
        array = "_".join([self.blocks[id(node)], *(str(self.variable[a]) for a in axes if a in self.loop.unrolled)])
        return f"{array}[{linear(strides, ['i', *(self.variable[a] for a in inner)])}]"

    def value(self, node: Node) -> str:
        """Return the expression of a pointwise node or a gather, in terms of its inputs."""
        axes, sizes = self.axes.of(node), node.shape
        if node.op != "take":
            return expression(node, [self.read(node, source, axes, sizes) for source in node.inputs])
        source, index = node.inputs
        lead = len(index.shape)
        row = self.read(node, index, axes[:lead], sizes[:lead])
        base, strides, offset = read_through(source)
        pointer, start = self.memory.place(base)
        where = linear(strides[1:], self.positions(axes[lead:], sizes[lead:]), offset + start)
        return f"{pointer}[{where} + {strides[0]} * {row}]"

    # one nest

    def order(self, nest: Nest) -> list[int]:
        """Return the axes of a nest's loops from the outside in: rows, then what is kept, then what is summed over."""
        summed = set()
        for node in nest.nodes:
            if node.op == "reduce" and self.loop.axis in self.axes.result(node):
                axes = self.axes.of(node)
                summed |= {axes[d] for d in node.attributes[1]}
        kept = [a for a in nest.space if a not in summed]
        return [self.loop.axis, *kept, *(a for a in nest.space if a in summed)]

    def tail(self, order: list[int], over: set[int]) -> int:
        """Return how many of the innermost loops a reduction goes over: for these it has a variable of its own."""
        count = 0
        while count < len(order) and order[len(order) - 1 - count] in over:
            count += 1
        return count

    def reduction_axes(self, node: Node) -> set[int]:
        axes = self.axes.of(node)
        extent = self.axes.extent
        return {axes[d] for d in node.attributes[1] if axes[d] not in self.loop.unrolled and extent[axes[d]] > 1}

    def nest(self, nest: Nest, count: int, rows: str) -> None:
        order = self.order(nest)
        self.local = set()
        self.variable = {axis: f"k{axis}" for axis in order}
        self.variable[self.loop.axis] = rows
        ending: dict[int, list[Node]] = {}  # by depth: reductions with a variable that lives around the deeper loops
        scattered: set[int] = set()
        for node in nest.nodes:
            if node.op == "reduce" and self.schedule.ends_nest(node, self.loop):
                tail = self.tail(order, self.reduction_axes(node))
                if tail:
                    ending.setdefault(len(order) - tail, []).append(node)
                else:
                    scattered.add(id(node))
        plain = not any(node.op == "put" for node in nest.nodes)
        outer = self.depth
        for depth, axis in enumerate(order):
            for node in ending.get(depth, []):
                self.open_total(node)
            innermost = depth == len(order) - 1
            if innermost and plain:
                self.pragma([node for d in ending for node in ending[d]])
            variable = "i" if axis == self.loop.axis else f"k{axis}"
            size = count if axis == self.loop.axis else self.axes.extent[axis]
            self.add(f"for (long {variable} = 0; {variable} < {size}; {variable}++) {{")
            self.depth += 1
        for node in nest.nodes:
            self.statement(node, {id(n) for nodes in ending.values() for n in nodes}, scattered)
        for depth in range(len(order) - 1, -1, -1):
            self.depth -= 1
            self.add("}")
            for node in ending.get(depth, []):
                self.close_total(node, self.tail(order, self.reduction_axes(node)) == len(self.reduction_axes(node)))
        assert self.depth == outer

    def pragma(self, nodes: list[Node]) -> None:
        """Let the compiler add up in any order, in just the variables of these reductions."""
        clauses = []
        for node in nodes:
            names = [self.total(node) for _ in self.unrolled(self.axes.result(node))]
            clauses.append(f"reduction({_CLAUSE[node.attributes[0]]} : {', '.join(names)})")
        self.add(" ".join(["#pragma omp simd", *clauses]))

    def total(self, node: Node) -> str:
        return "t" + self.name(node, self.axes.result(node))

    def open_total(self, node: Node) -> None:
        kind = "double" if node.kind == "b" else TYPES[node.kind]
        for _ in self.unrolled(self.axes.result(node)):
            self.add(f"{kind} {self.total(node)} = {_START[node.attributes[0]]};")

    def close_total(self, node: Node, is_whole: bool) -> None:
        """Hand a total on to where others find it; one over some of the axes alone is added to the others' there."""
        axes = self.axes.result(node)
        how = node.attributes[0]
        for _ in self.unrolled(axes):
            if node.size == 1:
                self.add(_combine(how, self.memory.names[id(node)], self.total(node)))
            elif self.loop.axis not in axes:
                self.add(_combine(how, self.memory.target(node, self.positions(axes, node.shape)), self.total(node)))
            elif is_whole:
                self.store(node, self.total(node), axes)
            else:
                self.add(_combine(how, self.kept_element(node, axes), self.total(node)))

    def kept_element(self, node: Node, axes: list[int]) -> str:
        """Return the place in a block, or in memory, of an element that is being added up."""
        if id(node) in self.schedule.carried:
            return self.block_element(node, axes)
        return self.memory.target(node, self.positions(axes, node.shape))

    def store(self, node: Node, value: str, axes: list[int]) -> None:
        """Write a value to its block, its memory and the assemblies it is a piece of."""
        if id(node) in self.schedule.carried:
            self.add(f"{self.block_element(node, axes)} = {value};")
        if id(node) in self.schedule.kept:
            self.add(f"{self.memory.target(node, self.positions(axes, node.shape))} = {value};")
        for user in self.schedule.users[id(node)]:
            if user.op != "assemble":
                continue
            places, disjoint = user.attributes
            for position, (piece, (strides, offset)) in enumerate(zip(user.inputs, places)):
                if piece is node and is_direct(user, position):
                    pointer, start = self.memory.place(user)
                    where = linear(strides, self.positions(axes, node.shape), offset + start)
                    self.add(f"{pointer}[{where}] {'=' if disjoint else '+='} {value};")

    def statement(self, node: Node, with_total: set[int], scattered: set[int]) -> None:
        axes = self.axes.of(node)
        if node.op == "reduce":
            self.reduce_statement(node, id(node) in with_total, id(node) in scattered)
        elif node.op == "put":
            for _ in self.unrolled(axes):
                self.put_statement(node, axes)
        else:
            note = f"  /* {node.note} */" if node.note else ""
            for _ in self.unrolled(axes):
                name = self.name(node, axes)
                self.add(f"const {TYPES[node.kind]} {name} = {self.value(node)};{note}")
                self.store(node, name, axes)
            self.local.add(id(node))

    def put_statement(self, node: Node, axes: list[int]) -> None:
        values, index = node.inputs
        lead = len(index.shape)
        sizes = values.shape
        row = self.read(node, index, axes[:lead], sizes[:lead])
        value = self.read(node, values, axes, sizes)
        own = contiguous(node.shape)
        step = math.prod(node.shape[1:])
        pointer, start = self.memory.place(node)
        inner = linear(own[1:], self.positions(axes[lead:], sizes[lead:]), start)
        self.add(f"{pointer}[{inner} + {step} * {row}] += {value};")

    def reduce_statement(self, node: Node, has_total: bool, is_scattered: bool) -> None:
        how, dims = node.attributes
        (source,) = node.inputs
        axes = self.axes.of(node)
        result = self.axes.result(node)
        over = [axes[d] for d in dims if axes[d] in self.loop.unrolled]
        for _ in self.unrolled(result):
            parts = []
            for _ in self.unrolled(over):
                parts.append(self.read(node, source, axes, source.shape))
            value = parts[0]
            for part in parts[1:]:
                value = _both(how, value, part)
            if has_total:
                self.add(_combine(how, self.total(node), value))
            elif is_scattered:
                self.add(_combine(how, self.kept_element(node, result), value))
            else:
                name = self.name(node, result)
                self.add(f"const {TYPES[node.kind]} {name} = {value};")
                self.store(node, name, result)
        if not has_total and not is_scattered:
            self.local.add(id(node))

    # blocks

    def block_size(self) -> int:
        """Return how many rows a block has; a divisor of the number of rows where there is a good one."""
        extent = self.loop.extent
        if len(self.loop.nests) == 1:
            return extent
        widest = max(math.prod(self.axes.extent[a] for a in nest.space) for nest in self.loop.nests)
        if extent <= (WHOLE if widest == 1 else BLOCK):
            return extent
        target = BLOCK if widest <= 2 * BLOCK else max(8, 2 * BLOCK * BLOCK // widest // 8 * 8)
        divisors = [b for b in range(8, 2 * target + 1, 8) if extent % b == 0]
        return min(divisors, key=lambda b: abs(b - target)) if divisors and max(divisors) >= target // 2 else target

    def arrays(self, size: int) -> None:
        """Declare the arrays of values that pass from one nest of a block to another."""
        for nest in self.loop.nests:
            for node in nest.nodes:
                if id(node) not in self.schedule.carried:
                    continue
                axes = self.axes.result(node)
                inner = math.prod(
                    self.axes.extent[a] for a in axes if a != self.loop.axis and a not in self.loop.unrolled
                )
                self.blocks[id(node)] = f"c{self.memory.names[id(node)]}"
                for _ in self.unrolled(axes):
                    positions = [str(self.variable[a]) for a in axes if a in self.loop.unrolled]
                    array = "_".join([self.blocks[id(node)], *positions])
                    if size * inner <= STACK:
                        self.add(f"double {array}[{size * inner}];")
                    else:
                        self.memory.uses.add("w")
                        self.add(f"double *restrict {array} = w + {self.memory.reserve(size * inner)};")

    def clear(self, count: int, before: bool) -> None:
        """Set to their start what is added up in memory: results over rows before the loop, others at each block."""
        for nest in self.loop.nests:
            order = self.order(nest)
            for node in nest.nodes:
                if node.op == "put":
                    if before:
                        pointer, start = self.memory.place(node)
                        self.add(f"memset({pointer} + {start}, 0, {node.size} * sizeof(double));")
                    continue
                if node.op != "reduce" or not self.schedule.ends_nest(node, self.loop):
                    continue
                over = self.reduction_axes(node)
                with_total = self.tail(order, over) == len(over)
                over_rows = self.loop.axis in over
                if over_rows and before and node.size > 1:
                    self.fill(node, "k")
                elif not over_rows and not with_total and id(node) in self.schedule.carried and not before:
                    self.fill_block(node, count)
                elif not over_rows and not with_total and id(node) in self.schedule.kept and before:
                    self.fill(node, "k")

    def fill(self, node: Node, variable: str) -> None:
        pointer, start = self.memory.place(node)
        value = _START[node.attributes[0]]
        self.add(f"for (long k = 0; k < {node.size}; k++) {pointer}[{start} + k] = {value};")

    def fill_block(self, node: Node, count: int) -> None:
        axes = self.axes.result(node)
        inner = math.prod(self.axes.extent[a] for a in axes if a != self.loop.axis and a not in self.loop.unrolled)
        value = _START[node.attributes[0]]
        for _ in self.unrolled(axes):
            positions = [str(self.variable[a]) for a in axes if a in self.loop.unrolled]
            array = "_".join([self.blocks[id(node)], *positions])
            self.add(f"for (long k = 0; k < {count * inner}; k++) {array}[k] = {value};")

    def emit(self) -> list[str]:
        extent = self.loop.extent
        for nest in self.loop.nests:
            for node in nest.nodes:
                if node.op == "reduce" and node.size == 1:
                    kind = "double" if node.kind == "b" else TYPES[node.kind]
                    self.add(f"{kind} {self.memory.names[id(node)]} = {_START[node.attributes[0]]};")
        self.clear(extent, before=True)
        size = self.block_size()
        if size >= extent:
            self.add("{")
            self.depth += 1
            self.block(extent, extent, "i")
            self.depth -= 1
            self.add("}")
            return self.lines
        self.add(f"for (long r = 0; r < {extent - extent % size}; r += {size}) {{")
        self.depth += 1
        self.block(size, size, "(r + i)")
        self.depth -= 1
        self.add("}")
        if extent % size:
            self.add("{")
            self.depth += 1
            self.add(f"const long r = {extent - extent % size};")
            self.block(extent % size, size, "(r + i)")
            self.depth -= 1
            self.add("}")
        return self.lines

    def block(self, count: int, size: int, rows: str) -> None:
        self.arrays(size)
        self.clear(count, before=False)
        for nest in self.loop.nests:
            self.nest(nest, count, rows)


def emit_loop(loop: Loop, schedule: Schedule, memory: Memory) -> list[str]:
    """Return the C statements of a loop.

    Args:
        loop: what to compute.
        schedule: which values others need.
        memory: where they live.
    """
    return _Emitter(loop, schedule, memory).emit()
