"""Simplifications of one operation at a time: x * 1, x + 0, powers, constants, sums of what does not vary."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from pyroxene.compiler.evaluate import DTYPES, apply
from pyroxene.compiler.graph import POINTWISE, Node
from pyroxene.compiler.strides import contiguous

__all__ = ["literal_of", "simplify", "simplify_reduce"]


class _Maker(Protocol):
    """What rules ask of the builder, which stands above this file."""

    def __call__(self, op: str, *operands: Node | float | int | bool) -> Node: ...

    def pointwise(self, op: str, inputs: tuple[Node, ...], attributes: tuple[Any, ...] = ()) -> Node: ...

    def literal(self, value: float | int | bool, kind: str | None = None) -> Node: ...

    def expand(self, source: Node, shape: tuple[int, ...]) -> Node: ...

    def view(self, source: Node, shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Node: ...

    def reduce(self, source: Node, how: str, dims: Sequence[int]) -> Node: ...


def literal_of(node: Node) -> float | int | bool | None:
    """Return the number that a node is everywhere, where it is a literal or one broadcast."""
    while node.op == "view":
        node = node.inputs[0]
    return node.attributes[0] if node.op == "literal" else None


def _fold(b: _Maker, op: str, inputs: tuple[Node, ...], attributes: tuple[Any, ...]) -> Node | None:
    values = [literal_of(node) for node in inputs]
    if any(value is None for value in values):
        return None
    gives = POINTWISE[op].gives
    kind = inputs[-1].kind if gives == "." else gives
    tensors = [torch.tensor(value, dtype=DTYPES[node.kind]) for value, node in zip(values, inputs)]
    result = apply(Node(op, inputs, attributes, (), kind), tensors).item()
    return b.expand(b.literal(result, kind), inputs[0].shape)


def _add(b: _Maker, x: Node, y: Node) -> Node | None:
    if literal_of(x) == 0:
        return y
    if literal_of(y) == 0:
        return x
    if y.op == "neg":
        return b.pointwise("sub", (x, y.inputs[0]))
    if x.op == "neg":
        return b.pointwise("sub", (y, x.inputs[0]))
    if literal_of(x) is not None:
        return b.pointwise("add", (y, x))
    known, inner = literal_of(y), literal_of(x.inputs[1]) if x.op == "add" else None
    if known is not None and inner is not None:
        return b.pointwise("add", (x.inputs[0], b.expand(b.literal(float(inner) + known), x.shape)))
    return None


def _sub(b: _Maker, x: Node, y: Node) -> Node | None:
    known = literal_of(y)
    if known is not None:
        return b.pointwise("add", (x, b.expand(b.literal(-float(known)), x.shape)))
    if literal_of(x) == 0:
        return b.pointwise("neg", (y,))
    if y.op == "neg":
        return b.pointwise("add", (x, y.inputs[0]))
    return None


def _mul(b: _Maker, x: Node, y: Node) -> Node | None:
    if literal_of(x) is not None:
        x, y = y, x
    known = literal_of(y)
    if known is not None:
        if known == 1:
            return x
        if known == -1:
            return b.pointwise("neg", (x,))
        if x.op == "neg":
            return b.pointwise("mul", (x.inputs[0], b.expand(b.literal(-float(known)), x.shape)))
        inner = literal_of(x.inputs[1]) if x.op == "mul" else None
        if inner is not None:
            return b.pointwise("mul", (x.inputs[0], b.expand(b.literal(float(inner) * known), x.shape)))
    if x.op == "neg" and y.op == "neg":
        return b.pointwise("mul", (x.inputs[0], y.inputs[0]))
    if x.fixed and not y.fixed:
        x, y = y, x
    if y.fixed and x.op == "mul" and not x.fixed:
        for one, other in (x.inputs, x.inputs[::-1]):
            if other.fixed:  # what depends on data alone is computed once
                return b.pointwise("mul", (one, b.pointwise("mul", (other, y))))
    if x.op == "neg":
        return b.pointwise("neg", (b.pointwise("mul", (x.inputs[0], y)),))
    if y.op == "neg":
        return b.pointwise("neg", (b.pointwise("mul", (x, y.inputs[0])),))
    if x is y:
        return b.pointwise("square", (x,))
    return None


def _div(b: _Maker, x: Node, y: Node) -> Node | None:
    known = literal_of(y)
    if known == 1:
        return x
    if known is not None and math.isfinite(known) and known != 0:
        return b.pointwise("mul", (x, b.expand(b.literal(1.0 / known), x.shape)))
    if x.op == "neg":
        return b.pointwise("neg", (b.pointwise("div", (x.inputs[0], y)),))
    if literal_of(x) == 1:
        return b.pointwise("reciprocal", (y,))
    varies = y.op != "view" or y.inputs[0].size == y.size
    if (y.fixed and not x.fixed) or not varies:  # one division instead of one for each element or call
        return b.pointwise("mul", (x, b.pointwise("reciprocal", (y,))))
    return None


def _neg(b: _Maker, x: Node) -> Node | None:
    if x.op == "neg":
        return x.inputs[0]
    if x.op == "sub":
        return b.pointwise("sub", (x.inputs[1], x.inputs[0]))
    known = literal_of(x.inputs[1]) if x.op == "mul" else None
    if known is not None:
        return b.pointwise("mul", (x.inputs[0], b.expand(b.literal(-float(known)), x.shape)))
    return None


def _pow(b: _Maker, x: Node, y: Node) -> Node | None:
    power = literal_of(y)
    if power is None:
        return None
    if power == 0:
        return b.expand(b.literal(1.0), x.shape)
    if power == 1:
        return x
    if power == 2:
        return b.pointwise("square", (x,))
    if power == 3:
        return b.pointwise("mul", (b.pointwise("square", (x,)), x))
    if power == 4:
        return b.pointwise("square", (b.pointwise("square", (x,)),))
    if power == 0.5:
        return b.pointwise("sqrt", (x,))
    if power == -0.5:
        return b.pointwise("reciprocal", (b.pointwise("sqrt", (x,)),))
    if power == -1:
        return b.pointwise("reciprocal", (x,))
    if power == -2:
        return b.pointwise("reciprocal", (b.pointwise("square", (x,)),))
    return None


def _ge(b: _Maker, x: Node, y: Node) -> Node | None:
    positive = x.op in ("exp", "square", "abs", "sigmoid", "softplus") and literal_of(y) == 0
    return b.expand(b.literal(True), x.shape) if positive else None


def _log(b: _Maker, x: Node) -> Node | None:
    return x.inputs[0] if x.op == "exp" else None


def _square(b: _Maker, x: Node) -> Node | None:
    return b.pointwise("square", (x.inputs[0],)) if x.op in ("neg", "abs") else None


def _where(b: _Maker, condition: Node, x: Node, y: Node) -> Node | None:
    known = literal_of(condition)
    if known is not None:
        return x if known else y
    if x is y:
        return x
    if condition.op == "not":
        return b.pointwise("where", (condition.inputs[0], y, x))
    return None


def _logic(neutral: bool) -> Callable[..., Node | None]:
    def rule(b: _Maker, x: Node, y: Node) -> Node | None:
        for one, other in ((x, y), (y, x)):
            known = literal_of(one)
            if known is not None:
                return other if known is neutral else one
        return x if x is y else None

    return rule


def _not(b: _Maker, x: Node) -> Node | None:
    return x.inputs[0] if x.op == "not" else None


def _convert(kind: str) -> Callable[..., Node | None]:
    def rule(b: _Maker, x: Node) -> Node | None:
        return x if x.kind == kind else None

    return rule


_RULES: dict[str, Callable[..., Node | None]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "pow": _pow,
    "log": _log,
    "ge": _ge,
    "square": _square,
    "where": _where,
    "and": _logic(True),
    "or": _logic(False),
    "not": _not,
    "as_float": _convert("f"),
    "as_int": _convert("i"),
    "as_bool": _convert("b"),
}


def simplify(b: _Maker, op: str, inputs: tuple[Node, ...], attributes: tuple[Any, ...]) -> Node | None:
    """Return something simpler that equals a pointwise operation, or None.

    Only what changes no finite result by more than a rounding: nothing is assumed of infinities and nan where a latent
    value could be one, so x * 0 stays.
    """
    folded = _fold(b, op, inputs, attributes)
    if folded is not None:
        return folded
    rule = _RULES.get(op)
    return rule(b, *inputs) if rule is not None else None


def simplify_reduce(b: _Maker, source: Node, how: str, dims: tuple[int, ...]) -> Node | None:
    """Return something simpler that equals a reduction, or None: sums of what does not vary, of multiples, of sums."""
    if source.op == "view":
        strides, offset = source.attributes
        still = [d for d in dims if strides[d] == 0]
        if still:
            count = math.prod(source.shape[d] for d in still)
            shape = tuple(size for axis, size in enumerate(source.shape) if axis not in still)
            kept = tuple(stride for axis, stride in enumerate(strides) if axis not in still)
            inner = b.view(source.inputs[0], shape, kept, offset)
            rest = b.reduce(inner, how, [d - sum(s < d for s in still) for d in dims if d not in still])
            if how == "sum":
                return b("mul", rest, float(count)) if source.kind == "f" else b("imul", rest, count)
            return b("pow", rest, float(count)) if how == "prod" else rest
        repeated = [axis for axis, size in enumerate(source.shape) if size > 1 and strides[axis] == 0]
        if repeated:  # the same reduction for each: once, before the broadcast
            own_axes = [axis for axis in range(len(strides)) if axis not in repeated]
            inner_shape, inner_steps = (tuple(of[axis] for axis in own_axes) for of in (source.shape, strides))
            inner = b.view(source.inputs[0], inner_shape, inner_steps, offset)
            once = b.reduce(inner, how, [own_axes.index(d) for d in dims])
            left = [axis for axis in range(len(strides)) if axis not in dims]
            own = iter(contiguous(once.shape))
            steps = tuple(0 if axis in repeated else next(own) for axis in left)
            return b.view(once, tuple(source.shape[axis] for axis in left), steps, 0)
    if how != "sum" or source.kind != "f":
        return None
    if source.op == "neg":
        return b("neg", b.reduce(source.inputs[0], how, dims))
    if source.op == "mul":
        for one, other in (source.inputs, source.inputs[::-1]):
            if one.op == "view" and all(one.attributes[0][d] == 0 for d in dims):
                shape = tuple(size for axis, size in enumerate(source.shape) if axis not in dims)
                kept = tuple(s for axis, s in enumerate(one.attributes[0]) if axis not in dims)
                factor = b.view(one.inputs[0], shape, kept, one.attributes[1])
                return b("mul", factor, b.reduce(other, how, dims))
    if source.op in ("add", "sub") and any(part.fixed for part in source.inputs):
        first, second = source.inputs
        return b(source.op, b.reduce(first, how, dims), b.reduce(second, how, dims))
    return None
