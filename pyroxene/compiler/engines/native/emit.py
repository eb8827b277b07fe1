"""Emits a graph as one C file: a function of its inputs, with a function of its own for the body of each loop."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.engines.native.calls import emit_call
from pyroxene.compiler.engines.native.expressions import SPECIAL, TYPES, VECTORS, expression
from pyroxene.compiler.engines.native.loops import emit_loop
from pyroxene.compiler.engines.native.memory import Memory
from pyroxene.compiler.engines.native.scans import emit_scan
from pyroxene.compiler.engines.native.schedule import Schedule, is_direct
from pyroxene.compiler.graph import Body, Graph, Node

__all__ = ["Program", "emit"]

LONGEST = 1000
"""Statements of one C function: compilers take time that grows with the square of it."""

INLINED = 200
"""A function of so few lines is a part of its caller, so that a loop's carry need not go through memory."""

ALGEBRA = frozenset({"matmul", "cholesky", "cholesky_adjoint", "solve", "lu", "lu_solve"})
BLAS = ("dgemm", "dtrsm", "dpotrf")
LU = ("dgetrf",)
"""What `lu.h` calls besides."""

SMALL = 24
"""As PYROXENE_SMALL in `algebra.h`: with no larger matrix scipy need not be imported."""

_DENSITY = """
double pyroxene_density(const double *z, double *gradient, const void *const *context) {
    double value;
    density(z, &value, gradient, context, (double *)context[0]);
    return value;
}

/* For measurements: so many calls without the caller's cost. */
void pyroxene_repeat(const double *z, double *gradient, const void *const *context, long times) {
    double (*volatile function)(const double *, double *, const void *const *) = pyroxene_density;
    for (long i = 0; i < times; i++) function(z, gradient, context);
}
"""

_BATCH = """
void pyroxene_batch(const double *z, double *values, double *gradients, const void *const *context) {
    density(z, values, gradients, context, (double *)context[0]);
}
"""

_ENTRY = """
void pyroxene_call(const double *const *inputs, double *const *outputs, const void *const *context) {
    density(PASSED, context, (double *)context[0]);
}
"""

_C_TYPES = {"f": "double", "i": "long long", "b": "_Bool"}  # gcc 12 reads masks of unsigned char wrongly, eight a row


@dataclass(frozen=True)
class Program:
    """A graph as C; final.

    Attributes:
        source: one C file; `pyroxene_density`, or `pyroxene_call`, is the function.
        workspace: how many doubles it needs.
        pointers: functions whose addresses it must be given: special functions, BLAS, LAPACK.
        sizes: whole numbers that it reads from its context; see `sizes.shared_form`.
        constants: other numbers that it reads from there.
    """

    source: str
    workspace: int
    pointers: tuple[str, ...]
    sizes: tuple[int, ...] = ()
    constants: tuple[float, ...] = ()


@dataclass
class _Item:
    """Some statements that stay together, and the variables and pointers they make and need."""

    lines: list[str]
    defines: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)


def emit(graph: Graph) -> Program:
    """Return the C of a graph.

    Of one input, a vector, and two outputs, a scalar and its gradient, it is `pyroxene_density`; where these are of
    several points, `pyroxene_batch`; of more inputs or outputs it is `pyroxene_call`, which takes a pointer to each.
    """
    writer = _Writer()
    workspace = writer.function(graph, "density")
    operations = writer.operations
    special = sorted(operations & SPECIAL)
    algebra = (*BLAS, *(LU if "lu" in operations else ())) if writer.has_large else ()
    pointers = (*special, *algebra)
    headers = _headers(operations, pointers)
    source = "\n".join([*headers, *_binder(pointers), "", *writer.text, _door(graph)])
    return Program(source, workspace, pointers)


def _door(graph: Graph) -> str:
    """Return the function that others call."""
    if len(graph.inputs) == 1 and len(graph.outputs) == 2:
        return _DENSITY if graph.outputs[0].size == 1 else _BATCH
    inputs = [f"inputs[{position}]" for position in range(len(graph.inputs))]
    outputs = [f"outputs[{position}]" for position in range(len(graph.outputs))]
    return _ENTRY.replace("PASSED", ", ".join([*inputs, *outputs]))


def _headers(operations: set[str], pointers: tuple[str, ...]) -> list[str]:
    folder = files("pyroxene.compiler").joinpath("csrc")
    lines = [folder.joinpath("prelude.h").read_text(encoding="utf8")]
    if operations & (VECTORS | {"polygamma"}):
        lines.append(folder.joinpath("special.h").read_text(encoding="utf8"))
    if operations & {"gamma_sample", "gamma_slope"}:
        lines.append(folder.joinpath("gamma.h").read_text(encoding="utf8"))
    if operations & ALGEBRA:
        if "dgemm" in pointers:
            lines.append("#define PYROXENE_BLAS")
        lines.append(folder.joinpath("algebra.h").read_text(encoding="utf8"))
    if operations & {"lu", "lu_solve"}:
        lines.append(folder.joinpath("lu.h").read_text(encoding="utf8"))
    return lines


def _binder(pointers: tuple[str, ...]) -> list[str]:
    """Return the function that takes the addresses."""
    if not pointers:
        return []
    names = [f"blas_{name}" if name in (*BLAS, *LU) else f"special_{name}" for name in pointers]
    declared = [f"static double (*{name})(double, int);" for name in names if name.startswith("special")]
    bound = [f"    {name} = pointers[{position}];" for position, name in enumerate(names)]
    return [*declared, "void pyroxene_bind(void **pointers) {", *bound, "}"]


def _with_outputs(graph: Graph) -> Graph:
    """Return a graph whose outputs of several elements are assemblies, which are written to the caller's memory."""
    b = Builder(graph.data)
    b.adopt(graph.inputs)
    outputs = [node if node.size == 1 or node.op == "assemble" else b.copy(node) for node in graph.outputs]
    return Graph(graph.inputs, outputs, graph.data)


class _Writer:
    """The functions of one file.

    Attributes:
        text: of the functions so far, each after those it calls.
        operations: that they use.
        has_large: whether some matrix is one for BLAS or LAPACK; `algebra.h` decides once more by its exact sizes.
    """

    def __init__(self) -> None:
        self.text: list[str] = []
        self.operations: set[str] = set()
        self.has_large = False
        self._bodies: dict[int, tuple[str, int]] = {}
        self._count = 0

    def body(self, body: Body) -> tuple[str, int]:
        """Return the name of the function of a loop's body, and how much workspace it needs."""
        known = self._bodies.get(id(body))
        if known is None:
            self._count += 1
            name = f"body{self._count}"
            known = self._bodies[id(body)] = (name, self.function(body.graph, name))
        return known

    def function(self, graph: Graph, name: str) -> int:
        """Write the function of a graph, and return how much workspace it needs."""
        graph = _with_outputs(graph)
        schedule = Schedule(graph)
        memory = Memory(graph, schedule)
        self.operations |= {node.op for node in schedule.order}
        self.has_large |= any(n.op in ALGEBRA and max(n.inputs[0].shape[-2:]) > SMALL for n in schedule.order)
        items = self._items(schedule, memory)
        for position, node in enumerate(graph.outputs):
            memory.uses = set()
            lines = _returned(memory, node, position)
            if lines:
                items.append(_Item(lines, set(), memory.uses | {f"g{position}"}))
        kinds = {memory.names[id(node)]: node.kind for node in schedule.order}
        kinds |= {f"d{node.attributes[0]}": node.kind for node in schedule.order if node.op == "data"}
        arguments = [f"x{position}" for position in range(len(graph.inputs))]
        results = [f"g{position}" for position in range(len(graph.outputs))]
        self.text += _functions(name, items, memory, kinds, arguments, results)
        return memory.size

    def _items(self, schedule: Schedule, memory: Memory) -> list[_Item]:
        items: list[_Item] = []

        def add(lines: list[str], defines: set[str]) -> None:
            items.append(_Item(lines, defines, memory.uses - defines))
            memory.uses = set()

        for step in schedule.steps:
            for node in step.begun:
                if not _covers(node):
                    pointer, start = memory.place(node)
                    add([f"    memset({pointer} + {start}, 0, {node.size} * sizeof(double));"], set())
            for node in step.scalars:
                add(_scalar(schedule, memory, node), {memory.names[id(node)]})
            for loop in step.loops:
                totals = [n for nest in loop.nests for n in nest.nodes if n.op == "reduce" and n.size == 1]
                add(emit_loop(loop, schedule, memory), {memory.names[id(node)] for node in totals})
            for node in step.calls:
                if node.op == "scan":
                    name, workspace = self.body(node.attributes[0])
                    add(emit_scan(node, memory, name, workspace), set())
                else:
                    add(emit_call(node, memory), set())
        return items


def _covers(node: Node) -> bool:
    """Say whether the pieces of an assembly leave no element unwritten and meet nowhere."""
    return bool(node.attributes[1]) and sum(piece.size for piece in node.inputs) == node.size


def _returned(memory: Memory, node: Node, position: int) -> list[str]:
    """Write an output that is not written where it is computed."""
    if node.op != "assemble":
        return [f"    g{position}[0] = {memory.element(node, [0] * len(node.shape))};"]
    pointer, start = memory.place(node)
    if pointer == f"g{position}":
        return []
    return [f"    memcpy(g{position}, {pointer} + {start}, {node.size} * sizeof(double));"]


def _scalar(schedule: Schedule, memory: Memory, node: Node) -> list[str]:
    name = memory.names[id(node)]
    operands = [memory.element(source, [0] * len(source.shape)) for source in node.inputs]
    note = f"  /* {node.note} */" if node.note else ""
    lines = [f"    const {TYPES[node.kind]} {name} = {expression(node, operands)};{note}"]
    for user in dict.fromkeys(schedule.users[id(node)]):  # the assemblies that it is a piece of
        if user.op != "assemble":
            continue
        places, disjoint = user.attributes
        for position, (piece, (_, offset)) in enumerate(zip(user.inputs, places)):
            if piece is node and is_direct(user, position):
                pointer, start = memory.place(user)
                lines.append(f"    {pointer}[{start + offset}] {'=' if disjoint else '+='} {name};")
    return lines


def _functions(
    name: str, items: list[_Item], memory: Memory, kinds: dict[str, str], arguments: list[str], results: list[str]
) -> list[str]:
    """Pack statements into functions of bounded length; variables that cross between them go through the workspace."""
    chunks: list[list[_Item]] = [[]]
    length = 0
    for item in items:
        if length + len(item.lines) > LONGEST and chunks[-1]:
            chunks.append([])
            length = 0
        chunks[-1].append(item)
        length += len(item.lines)
    declared = [*(f"const double *restrict {x}" for x in arguments), *(f"double *restrict {g}" for g in results)]
    signature = ", ".join([*declared, "const void *const *restrict context", "double *restrict w"])
    if len(chunks) == 1:
        inline = "static inline __attribute__((always_inline))" if length <= INLINED else "static"
        return _function(f"{inline} void {name}({signature}) {{", chunks[0], {}, kinds)
    home = {made: number for number, chunk in enumerate(chunks) for item in chunk for made in item.defines}
    crossing: dict[str, int] = {}
    for number, chunk in enumerate(chunks):
        for item in chunk:
            for used in sorted(item.uses):
                if home.get(used, number) != number and used not in crossing:
                    crossing[used] = memory.reserve(1)
    lines: list[str] = []
    for number, chunk in enumerate(chunks):
        head = f"static __attribute__((noinline)) void {name}_{number}({signature}) {{"
        lines += _function(head, chunk, crossing, kinds)
    passed = ", ".join([*arguments, *results, "context", "w"])
    calls = [f"    {name}_{number}({passed});" for number in range(len(chunks))]
    return [*lines, f"static void {name}({signature}) {{", *calls, "}", ""]


def _function(head: str, chunk: list[_Item], crossing: dict[str, int], kinds: dict[str, str]) -> list[str]:
    lines = [head]
    uses = {used for item in chunk for used in item.uses}
    defined = {made for item in chunk for made in item.defines}
    for used in sorted(uses):
        if re.fullmatch(r"d\d+", used):
            lines.append(f"    const {_C_TYPES[kinds[used]]} *restrict {used} = context[{int(used[1:]) + 1}];")
        elif used in crossing and used not in defined:
            lines.append(f"    const {TYPES[kinds.get(used, 'f')]} {used} = w[{crossing[used]}];")
    for item in chunk:
        lines += item.lines
        lines += [f"    w[{crossing[made]}] = {made};" for made in sorted(item.defines) if made in crossing]
    return [*lines, "}", ""]
