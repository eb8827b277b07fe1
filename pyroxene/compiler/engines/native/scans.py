"""Emits a loop of the program: its body, a function, called for each slice."""

from __future__ import annotations

import math

from pyroxene.compiler.engines.native.axes import read_through
from pyroxene.compiler.engines.native.calls import copy_elements
from pyroxene.compiler.engines.native.memory import Memory
from pyroxene.compiler.engines.native.schedule import is_scalar
from pyroxene.compiler.graph import Node
from pyroxene.compiler.strides import contiguous

__all__ = ["emit_scan"]

REGISTERS = 16
"""A carry of so few numbers is a local array, which the compiler keeps in registers where the body is inlined."""


def _operand(memory: Memory, source: Node, sliced: bool, lines: list[str]) -> tuple[str, int]:
    """Return a pointer to a row-major value and the step from one slice to the next; a copy where there is none."""
    base, strides, offset = read_through(source)
    inner = contiguous(source.shape[1:] if sliced else source.shape)
    step = math.prod(source.shape[1:]) if sliced else 0
    if base.kind == "f" and memory.has_place(base) and not is_scalar(base):
        own = tuple(0 if n == 1 else s for n, s in zip(source.shape, strides))
        if (own[1:] if sliced else own) == inner:
            pointer, start = memory.place(base)
            return f"{pointer} + {start + offset}", strides[0] if sliced else 0
    start = memory.reserve(source.size)
    memory.uses.add("w")
    full = (step, *inner) if sliced else inner
    lines += copy_elements(memory, source, "w", full, start, "=")
    return f"w + {start}", step


def _copy(target: str, source: str, size: int) -> str:
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
        pointer, _ = _operand(memory, source, False, lines)
        if size <= REGISTERS:
            lines.append(f"    double {now}[{size}], {then}[{size}];")
        else:
            lines.append(f"    double *{now} = w + {memory.reserve(size)}, *{then} = w + {memory.reserve(size)};")
        lines.append("    " + _copy(now, pointer, size))
    arguments = list(before)
    for position, source in enumerate(node.inputs[body.carries :]):
        pointer, step = _operand(memory, source, position < body.slices, lines)
        arguments.append(f"{pointer} + {step} * t" if step else pointer)
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
