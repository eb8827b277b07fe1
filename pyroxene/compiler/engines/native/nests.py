"""Emits the nests of loops inside a block of rows: what is computed for each row, and what is added up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from pyroxene.compiler.engines.native.axes import read_through
from pyroxene.compiler.engines.native.expressions import TYPES, expression, has_positive_form
from pyroxene.compiler.engines.native.memory import Index, Memory, linear
from pyroxene.compiler.engines.native.schedule import Loop, Nest, Schedule, is_direct
from pyroxene.compiler.engines.native.totals import CLAUSE, START, both, combine
from pyroxene.compiler.graph import POINTWISE, Node
from pyroxene.compiler.strides import contiguous

__all__ = ["TOGETHER", "NestWriter"]

WRITTEN_OUT = 4
"""Loops of so few rounds are written out by the compiler: as vectors they would be masked, and pass through memory."""

TOGETHER = 4
"""Rows that a product of a matrix, or its transpose, by a vector takes together: the vector is loaded once for all."""

COPIED = 1024
"""A scatter of many rows into so few numbers adds up in as many copies as rows go together: two rows of one index would
wait for each other's store, 5 cycles."""


class NestWriter:
    """Abstract: writes the nests of one loop over rows; `loops.py` puts the blocks around them.

    Attributes:
        lines: the C so far.
        members: nodes that the loop computes.
        variable: of each axis, its index in the statement that is being written.
        local: nodes with variables in the nest that is being written.
        blocks: arrays of nodes that another nest of the block reads.
    """

    def __init__(self, loop: Loop, schedule: Schedule, memory: Memory) -> None:
        self.loop, self.schedule, self.memory = loop, schedule, memory
        self.axes = schedule.axes
        self.lines: list[str] = []
        self.members = {id(node) for nest in loop.nests for node in nest.nodes}
        self.variable: dict[int, Index] = {}  # of each axis, in the statement being written
        self.local: set[int] = set()  # nodes with variables in the nest being written
        self.blocks: dict[int, str] = {}  # arrays of nodes that another nest reads
        self.copies: dict[int, int] = {}  # where the further places of scatters begin in the workspace
        self.depth = 1
        self.prefix = ""  # what is before the row's number in its block: the block's first row
        self.outer = loop.axis  # the axis of the outermost loop
        self.positive = False  # whether functions take their forms for positive arguments
        self.together = 0  # which of several of its positions, that are computed together, the statement is for

    def set_together(self, together: int) -> None:
        """Let statements be for one of the positions that are computed together."""
        self.together = together
        self.variable[self.loop.axis] = f"({self.prefix}{self.row_in_block})" if self.prefix else self.row_in_block
        if self.outer != self.loop.axis:
            self.variable[self.outer] = f"(k{self.outer} + {together})" if together else f"k{self.outer}"

    @property
    def row_in_block(self) -> str:
        """The row's number in its block."""
        return f"(i + {self.together})" if self.together and self.outer == self.loop.axis else "i"

    def add(self, text: str) -> None:
        """Write one line."""
        self.lines.append("    " * self.depth + text)

    # indices

    def name(self, node: Node, axes: list[int]) -> str:
        """Return a node's variable, with the position on each written-out axis."""
        positions = [str(self.variable[a]) for a in axes if a in self.loop.unrolled]
        together = [f"r{self.together}"] if self.together and self.outer in axes else []
        return "_".join([self.memory.names[id(node)], *positions, *together])

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
        """Return a place in the array of a value that passes from one nest to another."""
        inner = [a for a in axes if a != self.loop.axis and a not in self.loop.unrolled and self.axes.extent[a] > 1]
        sizes = tuple(self.axes.extent[a] for a in inner)
        strides = (math.prod(sizes), *(math.prod(sizes[d + 1 :]) for d in range(len(sizes))))
        array = "_".join([self.blocks[id(node)], *(str(self.variable[a]) for a in axes if a in self.loop.unrolled)])
        return f"{array}[{linear(strides, [self.row_in_block, *(self.variable[a] for a in inner)])}]"

    def value(self, node: Node) -> str:
        """Return the expression of a pointwise node or a gather, in terms of its inputs."""
        axes, sizes = self.axes.of(node), node.shape
        if node.op != "take":
            return expression(node, [self.read(node, source, axes, sizes) for source in node.inputs], self.positive)
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
        if len(nest.space) == 1 and self.rows_are_contiguous(nest):
            return [*nest.space, self.loop.axis]
        return [self.loop.axis, *kept, *(a for a in nest.space if a in summed)]

    def rows_are_contiguous(self, nest: Nest) -> bool:
        """Say whether a nest reads tables that are stored by columns."""
        votes = 0
        for node in nest.nodes:
            axes = self.axes.of(node)
            for source in node.inputs:
                base, strides, _ = read_through(source)
                if node.op not in POINTWISE or base.op != "data" or len(strides) != len(axes):
                    continue
                step = dict(zip(axes, strides))
                rows, inner = step.get(self.loop.axis, 0), step.get(nest.space[0], 0)
                votes += (rows == 1 and inner > 1) - (inner == 1 and rows > 1)
        return votes > 0

    def tail(self, order: list[int], over: set[int]) -> int:
        """Return how many of the innermost loops a reduction goes over: for these it has a variable of its own."""
        count = 0
        while count < len(order) and order[len(order) - 1 - count] in over:
            count += 1
        return count

    def reduction_axes(self, node: Node) -> set[int]:
        """Return the axes, beside those written out, that a reduction goes over."""
        axes = self.axes.of(node)
        extent = self.axes.extent
        return {axes[d] for d in node.attributes[1] if axes[d] not in self.loop.unrolled and extent[axes[d]] > 1}

    def nest(self, nest: Nest, count: int) -> None:
        """Write a nest: where a loop adds up, several positions of the loop around it together, then those left."""
        order = self.order(nest)
        self.outer = order[0]
        length = count if self.outer == self.loop.axis else self.axes.extent[self.outer]
        jam = 1
        if length >= TOGETHER and (all(map(self.has_copies, nest.nodes)) or (len(order) == 2 and self.adds_up(nest))):
            jam = TOGETHER
        rest = length % jam
        if self.schedule.can_be_repeated(nest, self.loop):
            self.guarded(nest, order, count, length)
            return
        self.part_of_nest(nest, order, count, (0, length - rest), jam)
        if jam > 1:  # whether or not some are left, so that programs of other sizes differ in numbers alone
            self.part_of_nest(nest, order, count, (length - rest, length), 1)

    def guarded(self, nest: Nest, order: list[int], count: int, length: int) -> None:
        """Write a nest with the forms of its functions for positive arguments, and once more where one was not."""
        self.add("{")
        self.depth += 1
        self.add("long long below = 0;")
        self.positive = True
        self.part_of_nest(nest, order, count, (0, length), 1)
        self.positive = False
        self.add("if (below)")
        self.part_of_nest(nest, order, count, (0, length), 1)
        self.depth -= 1
        self.add("}")

    def has_copies(self, node: Node) -> bool:
        """Say whether a scatter adds up in several places, so that rows of one index need not wait for each other."""
        return node.op == "put" and node.size <= COPIED and self.loop.extent >= 4 * node.shape[0]

    def adds_up(self, nest: Nest) -> bool:
        """Say whether a nest has nothing but products of matrices and vectors in mind."""
        return all(node.op != "put" for node in nest.nodes) and any(
            node.op == "reduce" and self.schedule.ends_nest(node, self.loop) for node in nest.nodes
        )

    def part_of_nest(self, nest: Nest, order: list[int], count: int, part: tuple[int, int], jam: int) -> None:
        """Write a nest for a part of its outermost loop, so many positions together; `count`: rows of the block."""
        self.local = set()
        self.variable = {axis: f"k{axis}" for axis in order}
        self.set_together(0)
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
        self.add("{")
        for depth, axis in enumerate(order):
            for node in ending.get(depth, []):
                for _ in self.all_together(jam if depth else 1):
                    self.open_total(node)
            innermost = depth == len(order) - 1
            if innermost and plain:
                self.pragma(ending, jam, count if axis == self.loop.axis else self.axes.extent[axis])
            is_rows = axis == self.loop.axis
            variable = "i" if is_rows else f"k{axis}"
            start, stop = part if depth == 0 else (0, count if is_rows else self.axes.extent[axis])
            step = f" += {jam}" if depth == 0 and jam > 1 else "++"
            self.add(f"for (long {variable} = {start}; {variable} < {stop}; {variable}{step}) {{")
            self.depth += 1
        for node in nest.nodes:
            self.statement(node, {id(n) for nodes in ending.values() for n in nodes}, scattered, jam)
        for depth in range(len(order) - 1, -1, -1):
            self.depth -= 1
            self.add("}")
            for node in ending.get(depth, []):
                over = self.reduction_axes(node)
                for _ in self.all_together(jam if depth else 1):
                    self.close_total(node, self.tail(order, over) == len(over))
        self.add("}")
        assert self.depth == outer

    def all_together(self, jam: int) -> Iterator[None]:
        """Go through the positions of the outermost loop that are computed together."""
        for together in range(jam):
            self.set_together(together)
            yield
        self.set_together(0)

    def pragma(self, ending: dict[int, list[Node]], jam: int, length: int) -> None:
        """Let the compiler add up in any order, in the variables of these reductions alone, or write it out."""
        if length <= WRITTEN_OUT:
            self.add(f"#pragma GCC unroll {WRITTEN_OUT}")
            return
        clauses = []
        for depth, nodes in sorted(ending.items()):
            for node in nodes:
                names = [
                    self.total(node)
                    for _ in self.all_together(jam if depth else 1)
                    for _ in self.unrolled(self.axes.result(node))
                ]
                clauses.append(f"reduction({CLAUSE[node.attributes[0]]} : {', '.join(names)})")
        if self.positive:
            clauses.append("reduction(| : below)")
        self.add(" ".join(["#pragma omp simd", *clauses]))

    def total(self, node: Node) -> str:
        """Return the variable that a reduction adds up in."""
        return "t" + self.name(node, self.axes.result(node))

    def open_total(self, node: Node) -> None:
        """Declare the variables of a reduction."""
        kind = "double" if node.kind == "b" else TYPES[node.kind]
        for _ in self.unrolled(self.axes.result(node)):
            self.add(f"{kind} {self.total(node)} = {START[node.attributes[0]]};")

    def close_total(self, node: Node, is_whole: bool) -> None:
        """Hand a total on to where others find it; one over some of the axes alone is added to the others' there."""
        axes = self.axes.result(node)
        how = node.attributes[0]
        for _ in self.unrolled(axes):
            if node.size == 1:
                self.add(combine(how, self.memory.names[id(node)], self.total(node)))
            elif self.loop.axis not in axes:
                self.add(combine(how, self.memory.target(node, self.positions(axes, node.shape)), self.total(node)))
            elif is_whole:
                self.store(node, self.total(node), axes)
            else:
                self.add(combine(how, self.kept_element(node, axes), self.total(node)))

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

    def statement(self, node: Node, with_total: set[int], scattered: set[int], jam: int) -> None:
        """Write what one node computes."""
        axes = self.axes.of(node)
        if node.op == "reduce" and id(node) in scattered:
            self.scattered_statement(node, jam)
            return
        for _ in self.all_together(jam):
            if node.op == "reduce":
                self.reduce_statement(node, id(node) in with_total)
            elif node.op == "put":
                for _ in self.unrolled(axes):
                    self.put_statement(node, axes)
            else:
                note = f"  /* {node.note} */" if node.note else ""
                for _ in self.unrolled(axes):
                    name = self.name(node, axes)
                    self.add(f"const {TYPES[node.kind]} {name} = {self.value(node)};{note}")
                    if self.positive and has_positive_form(node):
                        self.add(f"below |= !({self.read(node, node.inputs[0], axes, node.shape)} > 0.0);")
                    self.store(node, f"({name} ? 1.0 : 0.0)" if node.kind == "b" else name, axes)
        if id(node) not in with_total:
            self.local.add(id(node))

    def parts(self, node: Node) -> str:
        """Return what one element of a reduction adds: its source, or the sum over written-out axes."""
        how, dims = node.attributes
        (source,) = node.inputs
        axes = self.axes.of(node)
        over = [axes[d] for d in dims if axes[d] in self.loop.unrolled]
        value = ""
        for _ in self.unrolled(over):
            part = self.read(node, source, axes, source.shape)
            value = both(how, value, part) if value else part
        return value

    def scattered_statement(self, node: Node, jam: int) -> None:
        """Add to places in memory; once for rows that are computed together and add to the same place."""
        how = node.attributes[0]
        result = self.axes.result(node)
        for _ in self.unrolled(result):
            if self.outer in result:
                for _ in self.all_together(jam):
                    self.add(combine(how, self.kept_element(node, result), self.parts(node)))
            else:
                value = ""
                for _ in self.all_together(jam):
                    value = both(how, value, self.parts(node)) if value else self.parts(node)
                self.add(combine(how, self.kept_element(node, result), value))

    def put_statement(self, node: Node, axes: list[int]) -> None:
        """Add values at the rows of an index."""
        values, index = node.inputs
        lead = len(index.shape)
        sizes = values.shape
        row = self.read(node, index, axes[:lead], sizes[:lead])
        value = self.read(node, values, axes, sizes)
        own = contiguous(node.shape)
        step = math.prod(node.shape[1:])
        pointer, start = self.memory.place(node)
        if self.together:
            pointer, start = "w", self.copies[id(node)] + (self.together - 1) * node.size
        inner = linear(own[1:], self.positions(axes[lead:], sizes[lead:]), start)
        self.add(f"{pointer}[{inner} + {step} * {row}] += {value};")

    def reduce_statement(self, node: Node, has_total: bool) -> None:
        """Add to a reduction's variable, or compute it where all it goes over is written out."""
        result = self.axes.result(node)
        for _ in self.unrolled(result):
            value = self.parts(node)
            if has_total:
                self.add(combine(node.attributes[0], self.total(node), value))
            else:
                name = self.name(node, result)
                self.add(f"const {TYPES[node.kind]} {name} = {value};")
                self.store(node, name, result)
