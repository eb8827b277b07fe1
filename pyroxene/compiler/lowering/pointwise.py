"""Rules for operations that work element by element."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.compiler.graph import Node
from pyroxene.compiler.lowering.call import RULES, Call, Rule, rule

__all__: list[str] = []

Operand = Node | float

_SAME = """exp log log1p expm1 log2 log10 exp2 sqrt rsqrt reciprocal sin cos tan asin acos atan sinh cosh tanh asinh
    acosh atanh sigmoid floor ceil round trunc lgamma digamma erf erfc erfinv sinc special_i0e special_i1 special_i1e
    special_ndtri special_log_ndtr special_erfcx special_ndtr"""


def _unary(op: str) -> Rule:
    def lower(call: Call, x: Node, **_: Any) -> Node:
        return call.b(op, call.number(x, "f"))

    return lower


for _name in _SAME.split():
    RULES[_name] = _unary(_name.removeprefix("special_"))
RULES["i0"] = _unary("i0")


@rule("neg")
def _neg(call: Call, x: Node) -> Node:
    return call.b("neg", x) if x.kind == "f" else call.b("isub", 0, x)


@rule("abs")
def _abs(call: Call, x: Node) -> Node:
    if x.kind == "f":
        return call.b("abs", x)
    return call.b("where", call.b("lt", x, 0), call.b("isub", 0, x), x)


@rule("sign", "sgn")
def _sign(call: Call, x: Node) -> Node:
    return call.number(call.b("sign", call.number(x, "f")))


@rule("square")
def _square(call: Call, x: Node) -> Node:
    return call.b("mul", x, x) if x.kind == "f" else call.b("imul", x, x)


_INTEGER = {"add": "iadd", "sub": "isub", "mul": "imul"}
_BOOLEAN = {"add": "or", "mul": "and"}


def arithmetic(call: Call, op: str, x: Operand, y: Operand) -> Node:
    """Return x op y, for add, sub and mul, of the call's kind."""
    x, y = call.number(x), call.number(y)
    names = {"f": {}, "i": _INTEGER, "b": _BOOLEAN}[call.kind]
    return call.b(names.get(op, op), x, y)


@rule("add")
def _add(call: Call, x: Operand, y: Operand, alpha: float = 1) -> Node:
    return arithmetic(call, "add", x, y if alpha == 1 else arithmetic(call, "mul", y, alpha))


@rule("sub")
def _sub(call: Call, x: Operand, y: Operand, alpha: float = 1) -> Node:
    return arithmetic(call, "sub", x, y if alpha == 1 else arithmetic(call, "mul", y, alpha))


@rule("rsub")
def _rsub(call: Call, x: Operand, y: Operand, alpha: float = 1) -> Node:
    return _sub(call, y, x, alpha)


@rule("mul")
def _mul(call: Call, x: Operand, y: Operand) -> Node:
    return arithmetic(call, "mul", x, y)


@rule("div", "true_divide", "floor_divide")
def _div(call: Call, x: Operand, y: Operand, rounding_mode: str | None = None) -> Node:
    if call.kind == "i":
        return call.b("idiv", call.number(x), call.number(y))
    ratio = call.b("div", call.number(x, "f"), call.number(y, "f"))
    return ratio if rounding_mode is None else call.b(rounding_mode, ratio)


@rule("remainder")
def _remainder(call: Call, x: Operand, y: Operand) -> Node:
    return call.b("imod" if call.kind == "i" else "remainder", call.number(x), call.number(y))


@rule("pow")
def _pow(call: Call, x: Operand, y: Operand) -> Node:
    return call.number(call.b("pow", call.number(x, "f"), call.number(y, "f")))


@rule("float_power")
def _float_power(call: Call, x: Operand, y: Operand) -> Node:
    return call.b("pow", call.number(x, "f"), call.number(y, "f"))


def _binary(op: str) -> Rule:
    def lower(call: Call, x: Operand, y: Operand) -> Node:
        return call.b(op, call.number(x, "f"), call.number(y, "f"))

    return lower


for _name in ("atan2", "fmod", "hypot"):
    RULES[_name] = _binary(_name)


@rule("maximum", "fmax")
def _maximum(call: Call, x: Operand, y: Operand) -> Node:
    x, y = call.number(x), call.number(y)
    return call.b("maximum", x, y) if call.kind == "f" else call.b("where", call.b("gt", x, y), x, y)


@rule("minimum", "fmin")
def _minimum(call: Call, x: Operand, y: Operand) -> Node:
    x, y = call.number(x), call.number(y)
    return call.b("minimum", x, y) if call.kind == "f" else call.b("where", call.b("lt", x, y), x, y)


def _compare(op: str) -> Rule:
    def lower(call: Call, x: Operand, y: Operand) -> Node:
        kinds = [operand.kind if isinstance(operand, Node) else _kind(operand) for operand in (x, y)]
        kind = "f" if "f" in kinds else "i" if "i" in kinds else "b"
        return call.b(op, call.number(x, kind), call.number(y, kind))

    return lower


def _kind(value: float) -> str:
    return "b" if isinstance(value, bool) else "i" if isinstance(value, int) else "f"


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    RULES[_name] = _compare(_name)


def _logical(op: str) -> Rule:
    def lower(call: Call, x: Operand, y: Operand) -> Node:
        return call.b(op, call.number(x, "b"), call.number(y, "b"))

    return lower


for _name in ("and", "or", "xor"):
    RULES[f"logical_{_name}"] = _logical(_name)
    RULES[f"bitwise_{_name}"] = _logical(_name)


@rule("logical_not", "bitwise_not")
def _not(call: Call, x: Node) -> Node:
    return call.b("not", call.number(x, "b"))


@rule("isnan")
def _isnan(call: Call, x: Node) -> Node:
    return call.b("isnan", x) if x.kind == "f" else call.full(False)


@rule("isinf")
def _isinf(call: Call, x: Node) -> Node:
    return call.b("eq", call.b("abs", x), math.inf)


@rule("isfinite")
def _isfinite(call: Call, x: Node) -> Node:
    return call.b("lt", call.b("abs", x), math.inf)


@rule("isposinf")
def _isposinf(call: Call, x: Node) -> Node:
    return call.b("eq", x, math.inf)


@rule("isneginf")
def _isneginf(call: Call, x: Node) -> Node:
    return call.b("eq", x, -math.inf)


@rule("where")
def _where(call: Call, condition: Node, x: Operand, y: Operand) -> Node:
    return call.b("where", call.number(condition, "b"), call.number(x), call.number(y))


@rule("masked_fill")
def _masked_fill(call: Call, x: Node, mask: Node, value: Operand) -> Node:
    return call.b("where", call.number(mask, "b"), call.number(value), call.number(x))


@rule("clamp", "clamp_min", "clip")
def _clamp(call: Call, x: Node, min: Operand | None = None, max: Operand | None = None, **_: Any) -> Node:
    result = call.number(x)
    if min is not None:
        result = _bounded(call, result, call.number(min), "lt")
    if max is not None:
        result = _bounded(call, result, call.number(max), "gt")
    return result


def _bounded(call: Call, x: Node, bound: Node, beyond: str) -> Node:
    """Clamp so that at the bound itself the gradient passes, as in PyTorch, and nan stays nan."""
    return call.b("where", call.b(beyond, x, bound), bound, x)


def _clamp_max(call: Call, x: Node, max: Operand) -> Node:
    return _clamp(call, x, None, max)


RULES["clamp_max"] = _clamp_max


@rule("polygamma", "special_polygamma")
def _polygamma(call: Call, order: int, x: Node) -> Node:
    if order == 0:
        return call.b("digamma", x)
    return call.b("polygamma", x, attributes=(order,))


@rule("logit")
def _logit(call: Call, x: Node, eps: float | None = None) -> Node:
    b = call.b
    if eps is not None:
        x = _clamp(call, x, eps, 1 - eps)
    return b("log", b("div", x, b("sub", 1.0, x)))


@rule("softplus")
def _softplus(call: Call, x: Node, beta: float = 1, threshold: float = 20) -> Node:
    b = call.b
    scaled = b("mul", x, float(beta))
    soft = b("div", b("softplus", scaled), float(beta))
    return b("where", b("gt", scaled, float(threshold)), x, soft) if threshold < 20 else soft


@rule("log_sigmoid_forward", "log_sigmoid")
def _log_sigmoid(call: Call, x: Node) -> Any:
    result = call.b("log_sigmoid", x)
    return result if isinstance(call.out, torch.Tensor) else (result, None)


@rule("relu")
def _relu(call: Call, x: Node) -> Node:
    return call.b("where", call.b("gt", x, 0.0), x, 0.0)


@rule("leaky_relu")
def _leaky_relu(call: Call, x: Node, negative_slope: float = 0.01) -> Node:
    return call.b("where", call.b("gt", x, 0.0), x, call.b("mul", x, float(negative_slope)))


@rule("elu")
def _elu(call: Call, x: Node, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Node:
    b = call.b
    negative = b("mul", b("expm1", b("mul", x, float(input_scale))), float(alpha))
    return b("mul", b("where", b("gt", x, 0.0), x, negative), float(scale))


@rule("silu")
def _silu(call: Call, x: Node) -> Node:
    return call.b("mul", x, call.b("sigmoid", x))


@rule("gelu")
def _gelu(call: Call, x: Node, approximate: str = "none") -> Node:
    b = call.b
    if approximate == "tanh":
        inner = b("mul", b("add", x, b("mul", b("pow", x, 3.0), 0.044715)), math.sqrt(2 / math.pi))
        return b("mul", b("mul", x, 0.5), b("add", b("tanh", inner), 1.0))
    return b("mul", x, b("ndtr", x))


@rule("addcmul")
def _addcmul(call: Call, x: Node, y: Node, z: Node, value: float = 1) -> Node:
    return arithmetic(call, "add", x, arithmetic(call, "mul", arithmetic(call, "mul", y, z), value))


@rule("addcdiv")
def _addcdiv(call: Call, x: Node, y: Node, z: Node, value: float = 1) -> Node:
    ratio = call.b("div", call.number(y, "f"), call.number(z, "f"))
    return arithmetic(call, "add", x, arithmetic(call, "mul", ratio, value))


@rule("lerp")
def _lerp(call: Call, x: Node, y: Node, weight: Operand) -> Node:
    return call.b("add", x, call.b("mul", call.b("sub", y, x), weight))


def _times_log(log: str, neutral: float) -> Rule:
    """Make the rule of x log(y), or x log1p(y), which is 0 where x is 0 unless y is nan."""

    def lower(call: Call, x: Operand, y: Operand) -> Node:
        b = call.b
        x, y = call.number(x, "f"), call.number(y, "f")
        zero = b("eq", x, 0.0)
        product = b("mul", x, b(log, b("where", zero, neutral, y)))
        return b("where", b("and", zero, b("not", b("isnan", y))), 0.0, product)

    return lower


RULES["xlogy"] = RULES["special_xlogy"] = _times_log("log", 1.0)
RULES["special_xlog1py"] = _times_log("log1p", 0.0)


@rule("special_entr")
def _entr(call: Call, x: Node) -> Node:
    b = call.b
    positive = b("gt", x, 0.0)
    inside = b("neg", b("mul", x, b("log", b("where", positive, x, 1.0))))
    return b("where", positive, inside, b("where", b("eq", x, 0.0), 0.0, -math.inf))


@rule("logaddexp")
def _logaddexp(call: Call, x: Node, y: Node) -> Node:
    b = call.b
    top = b("maximum", x, y)
    same = b("and", b("eq", x, y), b("eq", b("abs", x), math.inf))  # inf - inf is nan
    gap = b("where", same, 0.0, b("sub", x, y))
    return b("where", same, x, b("add", top, b("log1p", b("exp", b("neg", b("abs", gap))))))


@rule("mvlgamma")
def _mvlgamma(call: Call, x: Node, p: int) -> Node:
    b = call.b
    total = b("add", b("lgamma", x), p * (p - 1) / 4 * math.log(math.pi))
    for j in range(1, p):
        total = b("add", total, b("lgamma", b("sub", x, j / 2)))
    return total


@rule("special_expit")
def _expit(call: Call, x: Node) -> Node:
    return call.b("sigmoid", x)


@rule("deg2rad")
def _deg2rad(call: Call, x: Node) -> Node:
    return call.b("mul", x, math.pi / 180)


@rule("clone", "contiguous", "lift_fresh", "lift_fresh_copy", "positive", "_conj", "resolve_conj", "resolve_neg")
def _same(call: Call, x: Node, **_: Any) -> Node:
    return x


@rule("_to_copy", "to")
def _to_copy(call: Call, x: Node, *_: Any, **__: Any) -> Node:
    return call.number(x)


@rule("copy")
def _copy(call: Call, x: Node, source: Node, *_: Any) -> Node:
    return call.b.expand(call.number(source, x.kind), x.shape)


@rule("zeros_like", "new_zeros", "zero")
def _zeros(call: Call, x: Node, *_: Any, **__: Any) -> Node:
    return call.full(0)


@rule("ones_like", "new_ones")
def _ones(call: Call, x: Node, *_: Any, **__: Any) -> Node:
    return call.full(1)


@rule("full_like", "fill")
def _full_like(call: Call, x: Node, value: Operand, **_: Any) -> Node:
    return call.b.expand(call.number(value), call.shape)


@rule("new_full")
def _new_full(call: Call, x: Node, size: Any, value: float, **_: Any) -> Node:
    return call.full(value)


@rule("empty_like", "new_empty", "new_empty_strided")
def _empty(call: Call, x: Node, *_: Any, **__: Any) -> Node:
    return call.full(0)
