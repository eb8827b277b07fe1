"""Emits a graph as one C file: a function of a point that returns a value and writes gradients."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files

from pyroxene.compiler.engines.native.calls import emit_call
from pyroxene.compiler.engines.native.expressions import SPECIAL, TYPES, expression
from pyroxene.compiler.engines.native.loops import emit_loop
from pyroxene.compiler.engines.native.memory import Memory
from pyroxene.compiler.engines.native.schedule import Schedule, is_direct
from pyroxene.compiler.graph import Graph, Node

__all__ = ["Program", "emit"]

LONGEST = 1000
"""Statements of one C function: compilers take time that grows with the square of it."""

ALGEBRA = frozenset({"matmul", "cholesky", "solve"})
BLAS = ("dgemm", "dtrsm", "dpotrf")
SMALL = 24
"""As PYROXENE_SMALL in `algebra.h`: with no larger matrix scipy need not be imported."""

_REPEAT = """
/* For measurements: so many calls without the caller's cost. */
void pyroxene_repeat(const double *z, double *gradient, const void *const *context, long times) {
    double (*volatile density)(const double *, double *, const void *const *) = pyroxene_density;
    for (long i = 0; i < times; i++) density(z, gradient, context);
}
"""

_C_TYPES = {"f": "double", "i": "long long", "b": "unsigned char"}


@dataclass(frozen=True)
class Program:
    """A graph as C; final.

    Attributes:
        source: one C file; `pyroxene_density` is the function.
        workspace: how many doubles it needs.
        pointers: functions whose addresses it must be given: special functions, BLAS, LAPACK.
    """

    source: str
    workspace: int
    pointers: tuple[str, ...]


@dataclass
class _Item:
    """Some statements that stay together, and the variables and pointers they make and need."""

    lines: list[str]
    defines: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)


def emit(graph: Graph) -> Program:
    """Return the C of a graph whose first output is a scalar and whose others are assemblies.

    Args:
        graph: after all passes; the other outputs are written to the pointers that the function is given.
    """
    schedule = Schedule(graph)
    memory = Memory(graph, schedule)
    items = _items(schedule, memory)
    memory.uses = set()
    value = memory.element(graph.outputs[0], [])
    items.append(_Item([f"    *value = {value};"], set(), memory.uses))
    kinds = {f"d{node.attributes[0]}": node.kind for node in schedule.order if node.op == "data"}
    body = _functions(items, memory, kinds)
    special = sorted({node.op for node in schedule.order} & SPECIAL)
    pointers = tuple([*special, *(BLAS if any(_is_large(node) for node in schedule.order) else ())])
    source = "\n".join([*_headers(schedule, pointers), *_binder(pointers), "", *body, _REPEAT])
    return Program(source, memory.size, pointers)


def _is_large(node: Node) -> bool:
    """Say whether a call is one for BLAS or LAPACK; `algebra.h` decides once more by its exact sizes."""
    return node.op in ALGEBRA and max(node.inputs[0].shape[-2:]) > SMALL


def _headers(schedule: Schedule, pointers: tuple[str, ...]) -> list[str]:
    folder = files("pyroxene.compiler").joinpath("csrc")
    lines = [folder.joinpath("prelude.h").read_text(encoding="utf8")]
    if any(node.op in ALGEBRA for node in schedule.order):
        if "dgemm" in pointers:
            lines.append("#define PYROXENE_BLAS")
        lines.append(folder.joinpath("algebra.h").read_text(encoding="utf8"))
    return lines


def _binder(pointers: tuple[str, ...]) -> list[str]:
    """Return the function that takes the addresses."""
    if not pointers:
        return []
    names = [f"blas_{name}" if name in BLAS else f"special_{name}" for name in pointers]
    declared = [f"static double (*{name})(double, int);" for name in names if name.startswith("special")]
    bound = [f"    {name} = pointers[{position}];" for position, name in enumerate(names)]
    return [*declared, "void pyroxene_bind(void **pointers) {", *bound, "}"]


def _items(schedule: Schedule, memory: Memory) -> list[_Item]:
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
            name = memory.names[id(node)]
            operands = [memory.element(source, [0] * len(source.shape)) for source in node.inputs]
            note = f"  /* {node.note} */" if node.note else ""
            lines = [f"    const {TYPES[node.kind]} {name} = {expression(node, operands)};{note}"]
            lines += _stores(schedule, memory, node, name)
            add(lines, {name})
        for loop in step.loops:
            defines = {
                memory.names[id(n)] for nest in loop.nests for n in nest.nodes if n.op == "reduce" and n.size == 1
            }
            add(emit_loop(loop, schedule, memory), defines)
        for node in step.calls:
            add(emit_call(node, memory), set())
    return items


def _covers(node: Node) -> bool:
    """Say whether the pieces of an assembly leave no element unwritten and meet nowhere."""
    return node.attributes[1] and sum(piece.size for piece in node.inputs) == node.size


def _stores(schedule: Schedule, memory: Memory, node: Node, name: str) -> list[str]:
    """Write a scalar to the assemblies it is a piece of."""
    lines = []
    for user in dict.fromkeys(schedule.users[id(node)]):
        if user.op != "assemble":
            continue
        places, disjoint = user.attributes
        for position, (piece, (_, offset)) in enumerate(zip(user.inputs, places)):
            if piece is node and is_direct(user, position):
                pointer, start = memory.place(user)
                lines.append(f"    {pointer}[{start + offset}] {'=' if disjoint else '+='} {name};")
    return lines


def _functions(items: list[_Item], memory: Memory, kinds: dict[str, str]) -> list[str]:
    """Pack statements into functions of bounded length; variables that cross between them go through the workspace."""
    chunks: list[list[_Item]] = [[]]
    length = 0
    for item in items:
        if length + len(item.lines) > LONGEST and chunks[-1]:
            chunks.append([])
            length = 0
        chunks[-1].append(item)
        length += len(item.lines)
    if len(chunks) == 1:
        return _function("pyroxene_density", chunks[0], {}, kinds, "double")
    home = {name: number for number, chunk in enumerate(chunks) for item in chunk for name in item.defines}
    crossing: dict[str, int] = {}
    for number, chunk in enumerate(chunks):
        for item in chunk:
            for name in item.uses:
                if home.get(name, number) != number and name not in crossing:
                    crossing[name] = memory.reserve(1)
    lines: list[str] = []
    for number, chunk in enumerate(chunks):
        lines += _function(f"part{number}", chunk, crossing, kinds, "static void")
    arguments = "const double *restrict x0, double *restrict g1, const void *const *restrict context"
    lines.append(f"double pyroxene_density({arguments}) {{")
    lines.append("    double value;")
    lines += [f"    part{number}(x0, g1, context, &value);" for number in range(len(chunks))]
    lines += ["    return value;", "}"]
    return lines


def _function(
    name: str, chunk: list[_Item], crossing: dict[str, int], kinds: dict[str, str], returns: str
) -> list[str]:
    whole = returns == "double"
    arguments = "const double *restrict x0, double *restrict g1, const void *const *restrict context"
    head = "double" if whole else "static __attribute__((noinline)) void"
    lines = [f"{head} {name}({arguments}{'' if whole else ', double *restrict value'}) {{"]
    if whole:
        lines.append("    double result, *value = &result;")
    uses = {used for item in chunk for used in item.uses}
    defined = {made for item in chunk for made in item.defines}
    lines.append("    double *restrict w = (double *)context[0];")
    for used in sorted(uses):
        if re.fullmatch(r"d\d+", used):
            lines.append(f"    const {_C_TYPES[kinds[used]]} *restrict {used} = context[{int(used[1:]) + 1}];")
        elif used in crossing and used not in defined:
            lines.append(f"    const double {used} = w[{crossing[used]}];")
    for item in chunk:
        lines += item.lines
        lines += [f"    w[{crossing[made]}] = {made};" for made in sorted(item.defines) if made in crossing]
    if whole:
        lines.append("    return result;")
    lines += ["}", ""]
    return lines
