"""A loop that is recorded once: `scan` runs a step on each slice of some tensors, carrying others along."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Body, Graph, Node
from pyroxene.compiler.passes.rewrite import renumbered
from pyroxene.compiler.recorder import CURRENT, Recorder, Scope
from pyroxene.errors import ShapeError, user_source

__all__ = ["SHORT", "scan", "shortened_loops"]

SHORT = 30
"""How many steps a loop has inside `shortened_loops`."""

_SHORTENED: ContextVar[bool] = ContextVar("pyroxene_shortened_loops", default=False)


@contextmanager
def shortened_loops() -> Iterator[None]:
    """Let loops end after a few steps and repeat what the last one collected.

    A program and its compiled form can so be compared in no time: both have the same body, and other lengths.
    """
    token = _SHORTENED.set(True)
    try:
        yield
    finally:
        _SHORTENED.reset(token)


Tensors = list[torch.Tensor]
Step = Callable[[Tensors, Tensors, Callable[[torch.Tensor], torch.Tensor]], tuple[Tensors, Tensors]]
"""(carries, slices, at) -> (new carries, what to collect); `at` gives this step's slice of one more tensor."""


def scan(
    step: Step, carries: Sequence[torch.Tensor], slices: Sequence[torch.Tensor], length: int, reverse: bool = False
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the last carries, and what each step collected, stacked along a new first dimension.

    In a recording the step runs once, and the graph holds a loop. Otherwise it runs `length` times.

    Args:
        step: pure.
        carries: what the first step gets.
        slices: step t gets element t of the first dimension of each, which has `length` elements.
        length: how many steps; at least one.
        reverse: from the last slice to the first.

    Raises:
        ShapeError: a step changes the shape of a carry.
    """
    if _SHORTENED.get() and length > SHORT:
        return _shortened(step, carries, slices, length, reverse)
    recorder = CURRENT.get()
    if recorder is not None:
        return _recorded(recorder, step, carries, slices, length, reverse)
    carries = list(carries)
    collected: list[list[torch.Tensor]] = []
    for t in reversed(range(length)) if reverse else range(length):
        after, outputs = step(list(carries), [part[t] for part in slices], operator.itemgetter(t))
        _check(carries, after)
        carries = after
        collected.append(outputs)
    if reverse:
        collected.reverse()
    return list(carries), [torch.stack(column) for column in zip(*collected)]


def _shortened(
    step: Step, carries: Sequence[torch.Tensor], slices: Sequence[torch.Tensor], length: int, reverse: bool
) -> tuple[Tensors, Tensors]:
    def cut(part: torch.Tensor) -> torch.Tensor:
        return part[-SHORT:] if reverse else part[:SHORT]

    def short(now: Tensors, parts: Tensors, at: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Tensors, Tensors]:
        return step(now, parts, lambda tensor: at(cut(tensor)))

    last, collected = scan(short, carries, [cut(part) for part in slices], SHORT, reverse)
    padded = []
    for column in collected:
        end = (column[:1] if reverse else column[-1:]).expand(length - SHORT, *column.shape[1:])
        padded.append(torch.cat([end, column] if reverse else [column, end]))
    return last, padded


def _check(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> None:
    if [tuple(t.shape) for t in before] != [tuple(t.shape) for t in after]:
        raise ShapeError(
            "a step of a scan changes the shape of what it carries",
            source=user_source(3),
            expected=[tuple(t.shape) for t in before],
            got=[tuple(t.shape) for t in after],
            hint="give the first carry the shape of the later ones, with expand()",
        )


def _recorded(
    recorder: Recorder,
    step: Step,
    carries: Sequence[torch.Tensor],
    slices: Sequence[torch.Tensor],
    length: int,
    reverse: bool,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    outside = [_as_float(recorder.b, recorder.node(tensor)) for tensor in [*carries, *slices]]
    scope = recorder.scope = Scope(Builder(recorder.b.data), recorder.scope)
    first = length - 1 if reverse else 0
    late: list[tuple[Node, Node]] = []

    def at(tensor: torch.Tensor) -> torch.Tensor:
        made = _own(tensor, first)
        inner = scope.b.input(tuple(made.shape))
        assert scope.outer is not None
        late.append((_as_float(scope.outer.b, recorder.node_in(scope.outer, tensor)), inner))
        recorder.track(made, _as_kind_of(made, scope.b, inner))
        return made

    try:
        inside = [_own(tensor) for tensor in carries]
        parts = [_own(part, first) for part in slices]
        for tensor in [*inside, *parts]:
            recorder.track(tensor, _as_kind_of(tensor, scope.b, scope.b.input(tuple(tensor.shape))))
        after, outputs = step(list(inside), list(parts), at)
        _check(inside, after)
        results = [_as_float(scope.b, recorder.node(tensor)) for tensor in [*after, *outputs]]
    finally:
        assert scope.outer is not None
        recorder.scope = scope.outer
    own = scope.b.inputs[: len(inside) + len(parts)]
    lifted = list(scope.lifted.values())
    order = [*own, *(inner for _, inner in late), *(inner for _, inner in lifted)]
    body = Body(renumbered(Graph(order, results, scope.b.data)), len(inside), len(parts) + len(late))
    node = recorder.b.scan(
        body, [*outside, *(outer for outer, _ in late), *(outer for outer, _ in lifted)], length, reverse
    )
    last: Tensors = []
    stacked: Tensors = []
    for position, tensor in enumerate([*after, *outputs]):
        if position < len(after):
            made, group = _own(tensor), last
        else:
            made, group = _own(tensor, repeats=length), stacked
        recorder.track(made, _as_kind_of(made, recorder.b, recorder.b.part(node, position)))
        group.append(made)
    return last, stacked


def _as_float(b: Builder, node: Node) -> Node:
    """Return a node as a loop takes and gives it: integers and truth values become floats, which hold them exactly."""
    return node if node.kind == "f" else b("as_float", node)


def _as_kind_of(tensor: torch.Tensor, b: Builder, node: Node) -> Node:
    """Return a number that a loop took or gave as the tensor has it."""
    if tensor.is_floating_point():
        return node
    return b("as_bool" if tensor.dtype == torch.bool else "as_int", node)


def _own(tensor: torch.Tensor, index: int | None = None, repeats: int | None = None) -> torch.Tensor:
    """Return a tensor's values, those of one row, or so many copies, in memory of their own, unseen by the recorder.

    Floats become doubles; integers and truth values stay what they are, so that a step can index by them.
    """
    with torch.utils._python_dispatch._disable_current_modes():
        values = tensor.detach() if index is None else tensor.detach()[index]
        if repeats is not None:
            values = values.expand(repeats, *values.shape)
        if values.is_floating_point():
            values = values.to(torch.float64)
        return values.clone(memory_format=torch.contiguous_format)
