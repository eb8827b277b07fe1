"""Emits one loop over rows: blocks of rows, and inside a block one nest of loops after the other."""

from __future__ import annotations

import math

from pyroxene.compiler.engines.native.expressions import TYPES
from pyroxene.compiler.engines.native.memory import Memory
from pyroxene.compiler.engines.native.nests import TOGETHER, NestWriter
from pyroxene.compiler.engines.native.schedule import Loop, Schedule
from pyroxene.compiler.engines.native.totals import START
from pyroxene.compiler.graph import Node

__all__ = ["emit_loop"]

BLOCK = 64
"""Rows of a block: their values stay in the first-level cache, and a pass over a design matrix serves both products."""

WHOLE = 128
"""Up to so many rows are one block; so many rows has a block of a table that is stored by columns."""

STACK = 4096
"""The largest array of doubles on the stack; larger ones take workspace."""


class _Emitter(NestWriter):
    """Text of one loop; `emit_loop` is its only use."""

    def block_size(self) -> tuple[int, int]:
        """Return how many rows a block has, a divisor of the number of rows where there is a good one, and may have.

        The second depends on the kind of the loop, not on its number of rows: programs for other sizes then differ in
        numbers alone, and share a library.
        """
        extent = self.loop.extent
        if len(self.loop.nests) == 1:
            return extent, extent
        widest = max(math.prod(self.axes.extent[a] for a in nest.space) for nest in self.loop.nests)
        if widest <= 2 * BLOCK and any(len(n.space) == 1 and self.rows_are_contiguous(n) for n in self.loop.nests):
            return min(extent, WHOLE), WHOLE  # by columns: each has a sum across a vector at the end of a block
        target = BLOCK if widest <= 2 * BLOCK else max(8, 2 * BLOCK * BLOCK // widest // 8 * 8)
        most = max(2 * target, WHOLE if widest == 1 else BLOCK)
        if extent <= (WHOLE if widest == 1 else BLOCK):
            return extent, most
        divisors = [b for b in range(8, 2 * target + 1, 8) if extent % b == 0]
        good = bool(divisors) and max(divisors) >= target // 2
        return (min(divisors, key=lambda b: abs(b - target)) if good else target), most

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
                        if self.has_copies(node):
                            self.memory.uses.add("w")
                            size = (TOGETHER - 1) * node.size
                            self.copies[id(node)] = first = self.memory.reserve(size)
                            self.add(f"memset(w + {first}, 0, {size} * sizeof(double));")
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
        value = START[node.attributes[0]]
        self.add(f"for (long k = 0; k < {node.size}; k++) {pointer}[{start} + k] = {value};")

    def fill_block(self, node: Node, count: int) -> None:
        axes = self.axes.result(node)
        inner = math.prod(self.axes.extent[a] for a in axes if a != self.loop.axis and a not in self.loop.unrolled)
        value = START[node.attributes[0]]
        for _ in self.unrolled(axes):
            positions = [str(self.variable[a]) for a in axes if a in self.loop.unrolled]
            array = "_".join([self.blocks[id(node)], *positions])
            self.add(f"for (long k = 0; k < {count * inner}; k++) {array}[k] = {value};")

    def gather_copies(self) -> None:
        """Add the further places of scatters to the first."""
        for nest in self.loop.nests:
            for node in nest.nodes:
                if id(node) in self.copies:
                    pointer, start = self.memory.place(node)
                    first, size = self.copies[id(node)], node.size
                    parts = " + ".join(f"w[{first + copy * size} + k]" for copy in range(TOGETHER - 1))
                    self.add(f"for (long k = 0; k < {size}; k++) {pointer}[{start} + k] += {parts};")

    def emit(self) -> list[str]:
        """Return the C of the loop."""
        self.rows()
        self.gather_copies()
        return self.lines

    def rows(self) -> None:
        """Write all blocks of rows."""
        extent = self.loop.extent
        for nest in self.loop.nests:
            for node in nest.nodes:
                if node.op == "reduce" and node.size == 1:
                    kind = "double" if node.kind == "b" else TYPES[node.kind]
                    self.add(f"{kind} {self.memory.names[id(node)]} = {START[node.attributes[0]]};")
        self.clear(extent, before=True)
        size, most = self.block_size()
        if size >= extent:
            self.add("{")
            self.depth += 1
            self.block(extent, most)
            self.depth -= 1
            self.add("}")
            return
        self.prefix = "r + "
        whole = extent - extent % size
        self.add(f"for (long r = 0; r < {whole}; r += {size}) {{")
        self.depth += 1
        self.block(size, most)
        self.depth -= 1
        self.add("}")
        self.add("{")  # the rows that are left; where there are none the compiler leaves this out
        self.depth += 1
        self.add(f"const long r = {whole};")
        self.block(extent - whole, most)
        self.depth -= 1
        self.add("}")

    def block(self, count: int, most: int) -> None:
        self.arrays(most)
        self.clear(count, before=False)
        for nest in self.loop.nests:
            self.nest(nest, count)


def emit_loop(loop: Loop, schedule: Schedule, memory: Memory) -> list[str]:
    """Return the C statements of a loop.

    Args:
        loop: what to compute.
        schedule: which values others need.
        memory: where they live.
    """
    return _Emitter(loop, schedule, memory).emit()
