"""One library for programs that differ in numbers alone: a plate of another size, a constant of other data.

The first program of a form is built as it stands, its loops of known length. When a second one comes that differs from
it only in some of the numbers written in it, these are shown to depend on sizes or data: they become variables that are
read from the context, and that library serves every further program whose other numbers are the same. A program is
emitted before it is served, so nothing is assumed of how numbers depend on sizes: where the emitter chooses another
way, such as BLAS for a larger matrix, the form is another.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, replace

from pyroxene.compiler.engines.native.emit import Program

__all__ = ["shared_form"]

_NUMBER = re.compile(r"(?<![\w.])(?:\d+\.\d*(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+)(?![\w.])")
_HEAD = re.compile(r"^static .*\bvoid \w+\(.*const void \*const \*restrict context.*\) \{$", re.MULTILINE)
_FIXED = re.compile(r"^ *(?:#.*|double (?:\*?\w+\[\d+\](?:, )?)+;|.*\bcontext\[\d+\].*)$", re.MULTILINE)
"""Lines whose numbers the compiler must know: pragmas, lengths of arrays, and places in the context."""

_MOST_FORMS = 256


@dataclass
class _Form:
    """A source without its numbers; final.

    Attributes:
        first: the numbers of the first program.
        varying: positions of those that were others in a later one, in order.
    """

    first: list[str]
    varying: list[int] = field(default_factory=list)


_forms: dict[str, _Form] = {}
_lock = threading.Lock()


def _is_real(number: str) -> bool:
    return not number.isdigit()


def _numbers(source: str) -> list[re.Match[str]]:
    """Return the numbers that may become variables."""
    fixed = [match.span() for match in _FIXED.finditer(source)]
    found, line = [], 0
    for match in _NUMBER.finditer(source):
        while line < len(fixed) and fixed[line][1] <= match.start():
            line += 1
        if line == len(fixed) or match.start() < fixed[line][0]:
            found.append(match)
    return found


def _filled(source: str, numbers: list[re.Match[str]], names: dict[int, str]) -> str:
    """Return a source with names in the place of some of its numbers."""
    parts: list[str] = []
    end = 0
    for position in sorted(names):
        match = numbers[position]
        parts += [source[end : match.start()], names[position]]
        end = match.end()
    return "".join([*parts, source[end:]])


def _with_declarations(source: str, names: list[str], place: int) -> str:
    """Read the variables that a function uses at its head."""
    pieces: list[str] = []
    end = 0
    heads = list(_HEAD.finditer(source))
    ends = [*(head.start() for head in heads[1:]), len(source)]
    for head, stop in zip(heads, ends):
        body = source[head.end() : stop]
        used = set(re.findall(r"\b(?:size|number)_\d+\b", body))
        lines = []
        for name in (name for name in names if name in used):
            kind, _, position = name.partition("_")
            if kind == "size":
                lines.append(f"\n    const long {name} = ((const long long *)context[{place}])[{position}];")
            else:
                lines.append(f"\n    const double {name} = ((const double *)context[{place + 1}])[{position}];")
        pieces += [source[end : head.end()], *lines]
        end = head.end()
    return "".join([*pieces, source[end:]])


def shared_form(program: Program, num_data: int) -> Program:
    """Return a program itself, or one whose source serves all that differ from it in sizes and constants of data.

    Args:
        program: as it was emitted.
        num_data: how many tensors its context holds; the variables come after them.
    """
    numbers = _numbers(program.source)
    tokens = [match.group() for match in numbers]
    skeleton = _filled(program.source, numbers, {i: "#r" if _is_real(t) else "#" for i, t in enumerate(tokens)})
    with _lock:
        form = _forms.get(skeleton)
        if form is None:
            if len(_forms) >= _MOST_FORMS:
                del _forms[next(iter(_forms))]
            _forms[skeleton] = _Form(tokens)
            return program
        different = [i for i, (mine, first) in enumerate(zip(tokens, form.first)) if mine != first]
        if not different:
            return program
        form.varying = sorted({*form.varying, *different})
        varying, first = list(form.varying), form.first
    sizes: list[int] = []
    constants: list[float] = []
    names: dict[int, str] = {}
    for position in varying:
        if _is_real(tokens[position]):
            names[position] = f"number_{len(constants)}"
            constants.append(float(tokens[position]))
        else:
            names[position] = f"size_{len(sizes)}"
            sizes.append(int(tokens[position]))
    assert all(mine == others for i, (mine, others) in enumerate(zip(tokens, first)) if i not in names)
    source = _with_declarations(_filled(program.source, numbers, names), list(names.values()), 1 + num_data)
    return replace(program, source=source, sizes=tuple(sizes), constants=tuple(constants))
