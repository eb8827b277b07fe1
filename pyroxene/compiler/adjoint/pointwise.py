"""Adjoints of pointwise operations: the gradient of each input from that of the result."""

from __future__ import annotations

import math
from collections.abc import Callable

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Node
from pyroxene.compiler.normal import log_ndtr_slope

__all__ = ["POINTWISE_ADJOINTS"]

Adjoint = Callable[[Builder, Node, Node], tuple[Node | None, ...]]
"""(builder, the result's gradient, the result) -> a gradient for each input, None where there is none."""

_TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
_ROOT_PI_OVER_TWO = math.sqrt(math.pi) / 2.0
_ONE_OVER_ROOT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)


def _slope(of: Callable[[Builder, Node, Node], Node]) -> Adjoint:
    """Make an adjoint from a derivative, a function of the input x and the result y."""

    def adjoint(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
        return (b("mul", g, of(b, y.inputs[0], y)),)

    return adjoint


def _over(of: Callable[[Builder, Node, Node], Node]) -> Adjoint:
    """Make an adjoint from the reciprocal of a derivative."""

    def adjoint(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
        return (b("div", g, of(b, y.inputs[0], y)),)

    return adjoint


def _none(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    return (None,) * len(y.inputs)


def _bell(b: Builder, x: Node) -> Node:
    return b("exp", b("mul", b("square", x), -1.0))


def _half_bell(b: Builder, x: Node) -> Node:
    return b("exp", b("mul", b("square", x), -0.5))


def _one_minus_square(b: Builder, x: Node) -> Node:
    return b("sub", 1.0, b("square", x))


def _gamma_sample(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    alpha = y.inputs[0]
    return b("mul", g, b("gamma_slope", alpha, y, b("digamma", b("add", alpha, 1.0)))), None


def _add(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    return g, g


def _sub(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    return g, b("neg", g)


def _mul(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    first, second = y.inputs
    return b("mul", g, second), b("mul", g, first)


def _div(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    share = b("div", g, y.inputs[1])
    return share, b("neg", b("mul", share, y))


def _pow(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    x, p = y.inputs
    zero_power = b("eq", p, 0.0)
    for_x = b("where", zero_power, 0.0, b("mul", b("mul", g, p), b("pow", x, b("sub", p, 1.0))))
    zero_base = b("and", b("eq", x, 0.0), b("ge", p, 0.0))
    for_p = b("where", zero_base, 0.0, b("mul", b("mul", g, y), b("log", x)))
    return for_x, for_p


def _maximum(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    x, z = y.inputs
    larger = "gt" if y.op == "maximum" else "lt"
    half = b("mul", g, 0.5)
    first = b("where", b(larger, x, z), g, b("where", b("eq", x, z), half, 0.0))
    second = b("where", b(larger, z, x), g, b("where", b("eq", x, z), half, 0.0))
    return first, second


def _where(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    condition = y.inputs[0]
    if y.kind != "f":
        return None, None, None
    return None, b("where", condition, g, 0.0), b("where", condition, 0.0, g)


def _atan2(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    p, q = y.inputs
    share = b("div", g, b("add", b("square", p), b("square", q)))
    return b("mul", share, q), b("neg", b("mul", share, p))


def _hypot(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    share = b("div", g, y)
    return b("mul", share, y.inputs[0]), b("mul", share, y.inputs[1])


def _remainder(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    x, z = y.inputs
    whole = b("floor" if y.op == "remainder" else "trunc", b("div", x, z))
    return g, b("neg", b("mul", g, whole))


def _i1_slope(b: Builder, x: Node, y: Node) -> Node:
    zero = b("eq", x, 0.0)
    return b("where", zero, 0.5, b("sub", b("i0", x), b("div", y, b("where", zero, 1.0, x))))


def _i1e_slope(b: Builder, x: Node, y: Node) -> Node:
    zero = b("eq", x, 0.0)
    inverse = b("reciprocal", b("where", zero, 1.0, x))
    return b("where", zero, 0.5, b("sub", b("i0e", x), b("mul", y, b("add", b("sign", x), inverse))))


def _sinc_slope(b: Builder, x: Node, y: Node) -> Node:
    zero = b("eq", x, 0.0)
    safe = b("where", zero, 1.0, x)
    return b("where", zero, 0.0, b("div", b("sub", b("cos", b("mul", x, math.pi)), y), safe))


def _polygamma(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    return (b("mul", g, b("polygamma", y.inputs[0], attributes=(y.attributes[0] + 1,))),)


POINTWISE_ADJOINTS: dict[str, Adjoint] = {
    "neg": lambda b, g, y: (b("neg", g),),
    "exp": _slope(lambda b, x, y: y),
    "log": _over(lambda b, x, y: x),
    "log1p": _over(lambda b, x, y: b("add", x, 1.0)),
    "expm1": _slope(lambda b, x, y: b("add", y, 1.0)),
    "log2": _over(lambda b, x, y: b("mul", x, math.log(2.0))),
    "log10": _over(lambda b, x, y: b("mul", x, math.log(10.0))),
    "exp2": _slope(lambda b, x, y: b("mul", y, math.log(2.0))),
    "sqrt": _over(lambda b, x, y: b("mul", y, 2.0)),
    "rsqrt": _slope(lambda b, x, y: b("mul", b("mul", b("square", y), y), -0.5)),
    "reciprocal": _slope(lambda b, x, y: b("neg", b("square", y))),
    "square": _slope(lambda b, x, y: b("mul", x, 2.0)),
    "sin": _slope(lambda b, x, y: b("cos", x)),
    "cos": _slope(lambda b, x, y: b("neg", b("sin", x))),
    "tan": _slope(lambda b, x, y: b("add", b("square", y), 1.0)),
    "asin": _over(lambda b, x, y: b("sqrt", _one_minus_square(b, x))),
    "acos": _over(lambda b, x, y: b("neg", b("sqrt", _one_minus_square(b, x)))),
    "atan": _over(lambda b, x, y: b("add", b("square", x), 1.0)),
    "sinh": _slope(lambda b, x, y: b("cosh", x)),
    "cosh": _slope(lambda b, x, y: b("sinh", x)),
    "tanh": _slope(lambda b, x, y: _one_minus_square(b, y)),
    "asinh": _over(lambda b, x, y: b("sqrt", b("add", b("square", x), 1.0))),
    "acosh": _over(lambda b, x, y: b("sqrt", b("sub", b("square", x), 1.0))),
    "atanh": _over(lambda b, x, y: _one_minus_square(b, x)),
    "sigmoid": _slope(lambda b, x, y: b("mul", y, b("sub", 1.0, y))),
    "softplus": _slope(lambda b, x, y: b("sigmoid", x)),
    "log_sigmoid": _slope(lambda b, x, y: b("sigmoid", b("neg", x))),
    "abs": _slope(lambda b, x, y: b("sign", x)),
    "lgamma": _slope(lambda b, x, y: b("digamma", x)),
    "digamma": _slope(lambda b, x, y: b("polygamma", x, attributes=(1,))),
    "polygamma": _polygamma,
    "erf": _slope(lambda b, x, y: b("mul", _bell(b, x), _TWO_OVER_ROOT_PI)),
    "erfc": _slope(lambda b, x, y: b("mul", _bell(b, x), -_TWO_OVER_ROOT_PI)),
    "erfinv": _slope(lambda b, x, y: b("mul", b("exp", b("square", y)), _ROOT_PI_OVER_TWO)),
    "ndtr": _slope(lambda b, x, y: b("mul", _half_bell(b, x), _ONE_OVER_ROOT_TWO_PI)),
    "ndtri": _slope(lambda b, x, y: b("mul", b("exp", b("mul", b("square", y), 0.5)), 1 / _ONE_OVER_ROOT_TWO_PI)),
    "log_ndtr": _slope(lambda b, x, y: log_ndtr_slope(b, x)),
    "erfcx": _slope(lambda b, x, y: b("sub", b("mul", b("mul", x, y), 2.0), _TWO_OVER_ROOT_PI)),
    "i0": _slope(lambda b, x, y: b("i1", x)),
    "i1": _slope(_i1_slope),
    "i0e": _slope(lambda b, x, y: b("sub", b("i1e", x), b("mul", y, b("sign", x)))),
    "i1e": _slope(_i1e_slope),
    "sinc": _slope(_sinc_slope),
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "maximum": _maximum,
    "minimum": _maximum,
    "where": _where,
    "atan2": _atan2,
    "hypot": _hypot,
    "remainder": _remainder,
    "fmod": _remainder,
    "gamma_sample": _gamma_sample,
    **dict.fromkeys(("sign", "floor", "ceil", "round", "trunc", "as_float"), _none),
}
"""By operation. Where a function has no derivative (max at a tie, abs at 0) the value is PyTorch's."""
