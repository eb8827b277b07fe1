"""Emits calls on whole tensors: running sums, products, factors, solves, and copies into assemblies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from pyroxene.compiler.engines.native.axes import read_through
from pyroxene.compiler.engines.native.memory import Memory, linear
from pyroxene.compiler.engines.native.schedule import is_direct, is_scalar
from pyroxene.compiler.graph import Node
from pyroxene.compiler.strides import contiguous

__all__ = ["emit_call", "in_memory"]


def _copy(memory: Memory, source: Node, pointer: str, strides: Sequence[int], start: int, how: str) -> list[str]:
    """Write a node's elements to strided places."""
    lines: list[str] = []
    variables: list[str] = []
    for axis, size in enumerate(source.shape):
        variables.append("0" if size == 1 else f"k{axis}")
        if size != 1:
            lines.append("    " * (1 + len(lines)) + f"for (long k{axis} = 0; k{axis} < {size}; k{axis}++)")
    index = [0 if variable == "0" else variable for variable in variables]
    value = memory.element(source, index)
    lines.append("    " * (1 + len(lines)) + f"{pointer}[{linear(strides, index, start)}] {how} {value};")
    return lines


def _assemble(memory: Memory, node: Node) -> list[str]:
    lines: list[str] = []
    places, disjoint = node.attributes
    for position, (piece, (strides, offset)) in enumerate(zip(node.inputs, places)):
        if not is_direct(node, position):
            pointer, start = memory.place(node)
            lines += _copy(memory, piece, pointer, strides, offset + start, "=" if disjoint else "+=")
    return lines


Strides = tuple[int, ...]


def in_memory(memory: Memory, source: Node, lines: list[str], fits: Callable[[Strides], bool]) -> tuple[str, Strides]:
    """Return a pointer to a node's first element and its strides; of a row-major copy where it does not lie as needed.

    Args:
        memory: where values live.
        source: the node.
        lines: statements of the copy are added here.
        fits: whether strides, which are 0 along dimensions of one element, will do.
    """
    base, strides, offset = read_through(source)
    own = tuple(0 if size == 1 else stride for size, stride in zip(source.shape, strides))
    if base.kind == "f" and memory.has_place(base) and not is_scalar(base) and fits(own):
        pointer, start = memory.place(base)
        return f"{pointer} + {start + offset}", own
    start = memory.reserve(source.size)
    memory.uses.add("w")
    lines += _copy(memory, source, "w", contiguous(source.shape), start, "=")
    return f"w + {start}", contiguous(source.shape)


def _matrix(memory: Memory, source: Node, lines: list[str]) -> tuple[str, Strides]:
    """Return a pointer to matrices whose rows or columns are contiguous, and strides that are no less than 1."""

    def fits(strides: Strides) -> bool:
        thin = [stride for stride in strides[-2:] if stride]
        return 1 in thin or not thin

    pointer, strides = in_memory(memory, source, lines, fits)
    rows, columns = source.shape[-2:]
    last = strides[-1] or (1 if strides[-2] != 1 else rows)  # of one column: any stride, but not both 1
    first = strides[-2] or (1 if last != 1 else columns)
    return pointer, (*strides[:-2], first, last)


def _row_major(memory: Memory, source: Node, lines: list[str]) -> tuple[str, Strides]:
    return in_memory(memory, source, lines, lambda strides: strides == contiguous(source.shape))


def _batches(node: Node, operands: Sequence[tuple[str, Strides]], call: str) -> list[str]:
    """Repeat a call for each matrix of a batch; `call` has a place for each pointer."""
    batch = node.shape[:-2]
    if math.prod(batch) == 1:
        return ["    " + call.format(*[pointer for pointer, _ in operands])]
    lines: list[str] = []
    for axis, size in enumerate(batch):
        lines.append("    " * (1 + len(lines)) + f"for (long k{axis} = 0; k{axis} < {size}; k{axis}++)")
    index = [f"k{axis}" for axis in range(len(batch))]
    pointers = [f"{pointer} + {linear(strides[: len(batch)], index)}" for pointer, strides in operands]
    lines.append("    " * (1 + len(lines)) + call.format(*pointers))
    return lines


def _matmul(memory: Memory, node: Node) -> list[str]:
    lines: list[str] = []
    left, left_strides = _matrix(memory, node.inputs[0], lines)
    right, right_strides = _matrix(memory, node.inputs[1], lines)
    pointer, start = memory.place(node)
    m, n = node.shape[-2:]
    k = node.inputs[0].shape[-1]
    sizes = f"{m}, {n}, {k}"
    steps = f"{left_strides[-2]}, {left_strides[-1]}, {right_strides[-2]}, {right_strides[-1]}"
    out = (f"{pointer} + {start}", contiguous(node.shape))
    call = f"pyroxene_matmul({sizes}, {{0}}, {{1}}, {steps}, {{2}});"
    return lines + _batches(node, [(left, left_strides), (right, right_strides), out], call)


def _cholesky(memory: Memory, node: Node) -> list[str]:
    lines: list[str] = []
    source, strides = _matrix(memory, node.inputs[0], lines)
    pointer, start = memory.place(node)
    out = (f"{pointer} + {start}", contiguous(node.shape))
    call = f"pyroxene_cholesky({node.shape[-1]}, {{0}}, {strides[-2]}, {strides[-1]}, {{1}});"
    return lines + _batches(node, [(source, strides), out], call)


def _cholesky_adjoint(memory: Memory, node: Node) -> list[str]:
    lines: list[str] = []
    operands = [_row_major(memory, source, lines) for source in node.inputs]
    pointer, start = memory.place(node)
    out = (f"{pointer} + {start}", contiguous(node.shape))
    call = f"pyroxene_cholesky_adjoint({node.shape[-1]}, {{0}}, {{1}}, {{2}});"
    return lines + _batches(node, [*operands, out], call)


def _solve(memory: Memory, node: Node) -> list[str]:
    lines: list[str] = []
    lower, lower_strides = _matrix(memory, node.inputs[0], lines)
    right, right_strides = _matrix(memory, node.inputs[1], lines)
    pointer, start = memory.place(node)
    n, k = node.shape[-2:]
    out = (f"{pointer} + {start}", contiguous(node.shape))
    steps = f"{lower_strides[-2]}, {lower_strides[-1]}, {right_strides[-2]}, {right_strides[-1]}"
    call = f"pyroxene_solve({int(node.attributes[0])}, {n}, {k}, {{0}}, {{1}}, {steps}, {{2}});"
    return lines + _batches(node, [(lower, lower_strides), (right, right_strides), out], call)


def _lu(memory: Memory, node: Node) -> list[str]:
    lines: list[str] = []
    source, strides = _matrix(memory, node.inputs[0], lines)
    pointer, start = memory.place(node)
    out = (f"{pointer} + {start}", contiguous(node.shape))
    call = f"pyroxene_lu({node.shape[-1]}, {{0}}, {strides[-2]}, {strides[-1]}, {{1}});"
    return lines + _batches(node, [(source, strides), out], call)


def _lu_solve(memory: Memory, node: Node) -> list[str]:
    lines: list[str] = []
    _a, factors, b = node.inputs
    operands = [_row_major(memory, factors, lines), _matrix(memory, b, lines)]
    right_strides = operands[1][1]
    pointer, start = memory.place(node)
    n, k = node.shape[-2:]
    out = (f"{pointer} + {start}", contiguous(node.shape))
    steps = f"{right_strides[-2]}, {right_strides[-1]}"
    call = f"pyroxene_lu_solve({int(node.attributes[0])}, {n}, {k}, {{0}}, {{1}}, {steps}, {{2}});"
    return lines + _batches(node, [*operands, out], call)


def _cumsum(memory: Memory, node: Node) -> list[str]:
    dim, reverse = node.attributes
    lines: list[str] = []
    for axis, size in enumerate(node.shape):
        if axis != dim and size != 1:
            lines.append("    " * (1 + len(lines)) + f"for (long k{axis} = 0; k{axis} < {size}; k{axis}++)")
    index: list[int | str] = [0 if size == 1 else f"k{axis}" for axis, size in enumerate(node.shape)]
    pad = "    " * (1 + len(lines))
    last = node.shape[dim] - 1
    header = (
        f"for (long k{dim} = {last}; k{dim} >= 0; k{dim}--)"
        if reverse
        else f"for (long k{dim} = 0; k{dim} <= {last}; k{dim}++)"
    )
    lines.append(pad + "{")
    lines.append(pad + "    double sum = 0.0;")
    lines.append(pad + f"    {header} {memory.target(node, index)} = sum += {memory.element(node.inputs[0], index)};")
    lines.append(pad + "}")
    return lines


_EMITTERS = {
    "assemble": _assemble,
    "matmul": _matmul,
    "cholesky": _cholesky,
    "cholesky_adjoint": _cholesky_adjoint,
    "solve": _solve,
    "lu": _lu,
    "lu_solve": _lu_solve,
    "cumsum": _cumsum,
}


def emit_call(node: Node, memory: Memory) -> list[str]:
    """Return the C statements of a call.

    Args:
        node: what to compute.
        memory: where values live.
    """
    return _EMITTERS[node.op](memory, node)
