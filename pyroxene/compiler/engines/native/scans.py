"""Emits a loop of the program: its body, a function, called for each slice."""

from __future__ import annotations

from pyroxene.compiler.engines.native.calls import in_memory
from pyroxene.compiler.engines.native.memory import Memory
from pyroxene.compiler.graph import Node
from pyroxene.compiler.strides import contiguous

__all__ = ["emit_scan"]

REGISTERS = 16
"""A carry of so few numbers is a local array, which the compiler keeps in registers where the body is inlined."""


def _slices(memory: Memory, source: Node, lines: list[str]) -> tuple[str, int]:
    """Return a pointer to the first slice, row-major inside, and the step from one to the next."""
    inner = contiguous(source.shape[1:])
    pointer, strides = in_memory(memory, source, lines, lambda strides: strides[1:] == inner)
    return pointer, strides[0] if source.shape[0] > 1 else 0


def _whole(memory: Memory, source: Node, lines: list[str]) -> str:
    """Return a pointer to a row-major value."""
    return in_memory(memory, source, lines, lambda strides: strides == contiguous(source.shape))[0]


ASSIGNED = 4
"""So many numbers are copied one by one: gcc takes a memcpy of 8 bytes through an integer register and back, which was
two fifths of the time that a step of GARCH(1, 1) waited for the one before."""


def _copy(target: str, source: str, size: int) -> str:
    if size <= ASSIGNED:
        return " ".join(f"({target})[{k}] = ({source})[{k}];" for k in range(size))
    return f"memcpy({target}, {source}, {size} * sizeof(double));"


def emit_scan(node: Node, memory: Memory, name: str, workspace: int) -> list[str]:
    """Return the C statements of a loop.

    Args:
        node: the scan.
        memory: where values live.
        name: of the function of its body.
        workspace: how many doubles that function needs.
    """
    body, length, reverse = node.attributes
    lines: list[str] = []
    sizes = body.sizes(length)
    own = memory.names[id(node)]
    before, after = ([f"{own}_{when}{position}" for position in range(body.carries)] for when in ("now", "next"))
    inside = memory.reserve(workspace)
    memory.uses.add("w")
    out, start = memory.place(node)
    for source, now, then, size in zip(node.inputs, before, after, sizes):
        pointer = _whole(memory, source, lines)
        if size <= REGISTERS:
            lines.append(f"    double {now}[{size}], {then}[{size}];")
        else:
            lines.append(f"    double *{now} = w + {memory.reserve(size)}, *{then} = w + {memory.reserve(size)};")
        lines.append("    " + _copy(now, pointer, size))
    arguments = list(before)
    for position, source in enumerate(node.inputs[body.carries :]):
        if position < body.slices:
            pointer, step = _slices(memory, source, lines)
            arguments.append(f"{pointer} + {step} * t")
        else:
            arguments.append(_whole(memory, source, lines))
    arguments += after
    for position in range(body.carries, len(sizes)):
        offset = start + sum(sizes[:position])
        arguments.append(f"{out} + {offset} + {sizes[position] // length} * t")
    header = f"long t = {length - 1}; t >= 0; t--" if reverse else f"long t = 0; t < {length}; t++"
    lines.append(f"    for ({header}) {{")
    lines.append(f"        {name}({', '.join([*arguments, 'context', f'w + {inside}'])});")
    for old, new, size in zip(before, after, sizes):
        lines.append("        " + _copy(old, new, size))
    lines.append("    }")
    offset = start
    for now, size in zip(before, sizes[: body.carries]):
        lines.append("    " + _copy(f"{out} + {offset}", now, size))
        offset += size
    return lines
