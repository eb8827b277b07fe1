"""Rules for reductions and running sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pyroxene.compiler.graph import Node
from pyroxene.compiler.lowering.call import Call, rule
from pyroxene.compiler.lowering.pointwise import arithmetic

__all__: list[str] = []

Dims = int | Sequence[int] | None

UNROLLED = 256
"""The longest running product that is written out; its gradient has no short form where a factor is zero."""


def _dims(x: Node, dims: Dims) -> tuple[int, ...]:
    rank = len(x.shape)
    if dims is None or (not isinstance(dims, int) and len(dims) == 0):
        return tuple(range(rank))
    if isinstance(dims, int):
        dims = (dims,)
    return tuple(d % rank for d in dims) if rank else ()


def _keep(call: Call, reduced: Node, x: Node, dims: tuple[int, ...], keepdim: bool) -> Node:
    if not keepdim:
        return reduced
    return call.b.reshape(reduced, tuple(1 if axis in dims else size for axis, size in enumerate(x.shape)))


def _reduce(call: Call, x: Node, how: str, dims: Dims, keepdim: bool) -> Node:
    axes = _dims(x, dims)
    return _keep(call, call.b.reduce(x, how, axes), x, axes, keepdim)


@rule("sum")
def _sum(call: Call, x: Node, dim: Dims = None, keepdim: bool = False, **_: Any) -> Node:
    return _reduce(call, call.number(x), "sum", dim, keepdim)


@rule("mean")
def _mean(call: Call, x: Node, dim: Dims = None, keepdim: bool = False, **_: Any) -> Node:
    count = math.prod(x.shape[d] for d in _dims(x, dim))
    return call.b("div", _reduce(call, x, "sum", dim, keepdim), float(count))


@rule("prod")
def _prod(call: Call, x: Node, dim: int | None = None, keepdim: bool = False, **_: Any) -> Any:
    """Multiply halves: exact gradients where a factor is zero, which division by the factor would not give."""
    b = call.b
    if x.kind != "f":
        return _reduce(call, call.number(x), "prod", dim, keepdim)
    shape = x.shape
    axes = _dims(x, dim)
    if dim is None:
        x, axis = b.reshape(x, (x.size,)), 0
    else:
        axis = axes[0]
    while x.shape and x.shape[axis] > 1:
        half, odd = divmod(x.shape[axis], 2)
        product = b("mul", b.slice(x, axis, 0, half), b.slice(x, axis, half, half))
        x = b.cat([product, b.slice(x, axis, 2 * half, 1)], axis) if odd else product
    kept = tuple(1 if a in axes else size for a, size in enumerate(shape))
    return b.reshape(x, kept if keepdim else tuple(size for a, size in enumerate(shape) if a not in axes))


@rule("amax")
def _amax(call: Call, x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    return _reduce(call, x, "max", dim, keepdim)


@rule("amin")
def _amin(call: Call, x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    return _reduce(call, x, "min", dim, keepdim)


def _extreme(how: str) -> Any:
    def lower(call: Call, x: Node, dim: int | Node | None = None, keepdim: bool = False) -> Any:
        if isinstance(dim, Node):  # torch.max(x, y)
            return call.b("maximum" if how == "max" else "minimum", x, dim)
        if dim is None:
            return _reduce(call, x, how, None, False)
        return _reduce(call, x, how, dim, keepdim), None

    return lower


rule("max")(_extreme("max"))
rule("min")(_extreme("min"))


@rule("any")
def _any(call: Call, x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    return _reduce(call, call.number(x, "b"), "any", dim, keepdim)


@rule("all", "_is_all_true")
def _all(call: Call, x: Node, dim: Dims = None, keepdim: bool = False) -> Node:
    return _reduce(call, call.number(x, "b"), "all", dim, keepdim)


def shifted_exp(call: Call, x: Node, axes: tuple[int, ...]) -> tuple[Node, Node]:
    """Return exp(x - m) and m, the maximum over axes (kept as dimensions of one), 0 where that is infinite."""
    b = call.b
    top = b.stop(_keep(call, b.reduce(x, "max", axes), x, axes, True))
    safe = b("where", b("lt", b("abs", top), math.inf), top, 0.0)
    return b("exp", b("sub", x, safe)), safe


@rule("logsumexp", "special_logsumexp")
def _logsumexp(call: Call, x: Node, dim: Dims, keepdim: bool = False) -> Node:
    b = call.b
    axes = _dims(x, dim)
    parts, top = shifted_exp(call, x, axes)
    kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    total = b("add", b("log", b.reduce(parts, "sum", axes)), b.reshape(top, kept))
    return _keep(call, total, x, axes, keepdim)


@rule("_softmax", "softmax", "_safe_softmax")
def _softmax(call: Call, x: Node, dim: int, *_: Any) -> Node:
    axes = _dims(x, dim)
    parts, _top = shifted_exp(call, x, axes)
    return call.b("div", parts, _keep(call, call.b.reduce(parts, "sum", axes), x, axes, True))


@rule("_log_softmax", "log_softmax")
def _log_softmax(call: Call, x: Node, dim: int, *_: Any) -> Node:
    b = call.b
    axes = _dims(x, dim)
    parts, top = shifted_exp(call, x, axes)
    total = _keep(call, b.reduce(parts, "sum", axes), x, axes, True)
    return b("sub", b("sub", x, top), b("log", total))


@rule("cumsum")
def _cumsum(call: Call, x: Node, dim: int, **_: Any) -> Node:
    return x if not x.shape else call.b.cumsum(call.number(x), dim % len(x.shape))


@rule("cumprod")
def _cumprod(call: Call, x: Node, dim: int, **_: Any) -> Any:
    if not x.shape:
        return x
    dim %= len(x.shape)
    if x.shape[dim] > UNROLLED:
        return NotImplemented
    b = call.b
    running = b.slice(x, dim, 0, 1)
    parts = [running]
    for index in range(1, x.shape[dim]):
        running = b("mul", running, b.slice(x, dim, index, 1))
        parts.append(running)
    return b.cat(parts, dim)


@rule("logcumsumexp")
def _logcumsumexp(call: Call, x: Node, dim: int) -> Node:
    """Shift by the maximum over everything, which serves where the range is below exp(700)."""
    b = call.b
    axes = _dims(x, dim)
    parts, top = shifted_exp(call, x, axes)
    return b("add", b("log", b.cumsum(parts, axes[0])), b.expand(top, x.shape))


def _mean_variance(
    call: Call, x: Node, dim: Any = None, *rest: Any, correction: float | None = None, keepdim: bool = False
) -> tuple[Node, Node]:
    """Return mean and variance over dimensions.

    Args:
        call: of any of PyTorch's forms: (unbiased), (dim, unbiased, keepdim), or (dim, *, correction, keepdim); in its
            decompositions the number of degrees to take off stands where `unbiased` does.
        x: what is reduced.
        dim: the dimensions; or `unbiased`, of the first form.
        rest: `unbiased` and `keepdim`, of the second form.
        correction: degrees of freedom to take off; 1 where it is not given.
        keepdim: whether reduced dimensions remain, of one element.
    """
    b = call.b
    if isinstance(dim, bool):
        dim, rest = None, (dim, *rest)
    if correction is None:
        correction = 1.0 if not rest or rest[0] is None else float(rest[0])
    keepdim = rest[1] if rest[1:] else keepdim
    axes = _dims(x, dim)
    count = math.prod(x.shape[d] for d in axes)
    mean = b("div", _keep(call, b.reduce(x, "sum", axes), x, axes, True), float(count))
    squares = b.reduce(b("square", b("sub", x, mean)), "sum", axes)
    kept = tuple(size for axis, size in enumerate(x.shape) if axis not in axes)
    variance = b("div", squares, float(max(count - correction, 0.0)))
    return mean if keepdim else b.reshape(mean, kept), _keep(call, variance, x, axes, keepdim)


@rule("var")
def _var(call: Call, x: Node, *args: Any, **kwargs: Any) -> Node:
    return _mean_variance(call, x, *args, **kwargs)[1]


@rule("std")
def _std(call: Call, x: Node, *args: Any, **kwargs: Any) -> Node:
    return call.b("sqrt", _var(call, x, *args, **kwargs))


@rule("var_mean")
def _var_mean(call: Call, x: Node, *args: Any, **kwargs: Any) -> tuple[Node, Node]:
    mean, variance = _mean_variance(call, x, *args, **kwargs)
    return variance, mean


@rule("std_mean")
def _std_mean(call: Call, x: Node, *args: Any, **kwargs: Any) -> tuple[Node, Node]:
    mean, variance = _mean_variance(call, x, *args, **kwargs)
    return call.b("sqrt", variance), mean


@rule("linalg_vector_norm", "norm")
def _norm(call: Call, x: Node, ord: float = 2, dim: Dims = None, keepdim: bool = False, **_: Any) -> Any:
    b = call.b
    if ord == 2:
        return b("sqrt", _reduce(call, b("square", x), "sum", dim, keepdim))
    if ord == 1:
        return _reduce(call, b("abs", x), "sum", dim, keepdim)
    if ord == math.inf:
        return _reduce(call, b("abs", x), "max", dim, keepdim)
    return NotImplemented


@rule("dot", "vdot")
def _dot(call: Call, x: Node, y: Node) -> Node:
    return call.b.reduce(arithmetic(call, "mul", x, y), "sum", (0,))
