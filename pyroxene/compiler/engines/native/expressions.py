"""Pointwise operations as C expressions."""

from __future__ import annotations

import math

from pyroxene.compiler.graph import Node

__all__ = ["SPECIAL", "TYPES", "VECTORS", "expression", "has_positive_form", "number"]

TYPES = {"f": "double", "i": "long long", "b": "_Bool"}

SPECIAL = frozenset({"erfinv", "ndtri", "ndtr", "log_ndtr", "i0", "i1", "i0e", "i1e"})
"""Functions that scipy's exported pointers compute; the emitted library is given their addresses."""

VECTORS = frozenset({"lgamma", "digamma", "trigamma", "erfcx"})
"""Functions of `csrc/special.h`, which has a cheaper form of each for positive arguments."""

_FUNCTIONS = frozenset(
    """exp log log1p expm1 log2 log10 exp2 sqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh floor ceil
    trunc erf erfc pow atan2 fmod hypot""".split()
)

_FORMS = {
    "neg": "-{0}",
    "abs": "fabs({0})",
    "rsqrt": "1.0 / sqrt({0})",
    "reciprocal": "1.0 / {0}",
    "square": "{0} * {0}",
    "round": "rint({0})",
    "sign": "(double)(({0} > 0.0) - ({0} < 0.0))",
    "polygamma": "pyroxene_polygamma({n}, {0})",
    "sinc": "pyroxene_sinc({0})",
    "gamma_sample": "pyroxene_gamma_sample({0}, {1})",
    "gamma_slope": "pyroxene_gamma_slope({0}, {1}, {2})",
    "remainder": "{0} - {1} * floor({0} / {1})",
    "maximum": "({0} > {1} || {0} != {0} ? {0} : {1})",
    "minimum": "({0} < {1} || {0} != {0} ? {0} : {1})",
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "iadd": "{0} + {1}",
    "isub": "{0} - {1}",
    "imul": "{0} * {1}",
    "idiv": "pyroxene_floor_divide({0}, {1})",
    "imod": "{0} - {1} * pyroxene_floor_divide({0}, {1})",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "and": "{0} & {1}",
    "or": "{0} | {1}",
    "xor": "{0} ^ {1}",
    "not": "!{0}",
    "isnan": "{0} != {0}",
    "where": "pyroxene_select({0}, {1}, {2})",
    "as_float": "(double){0}",
    "as_int": "(long long){0}",
    "as_bool": "{0} != 0",
}


def number(value: float | int | bool, kind: str) -> str:
    """Return a literal, exact to the last bit."""
    if kind == "b":
        return "1" if value else "0"
    if kind == "i":
        return f"{int(value)}LL"
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    return repr(float(value)) if value >= 0 else f"({float(value)!r})"


def _vector(node: Node) -> str | None:
    """Return which function of VECTORS a node is."""
    name = "trigamma" if node.op == "polygamma" and node.attributes[0] == 1 else node.op
    return name if name in VECTORS else None


def _is_known_positive(node: Node) -> bool:
    return node.op == "erfcx" and node.inputs[0].op == "abs"


def has_positive_form(node: Node) -> bool:
    """Say whether there is a cheaper form of a node for positive arguments, and these are not known to be."""
    return _vector(node) is not None and not _is_known_positive(node)


def expression(node: Node, operands: list[str], positive: bool = False) -> str:
    """Return the C expression of a pointwise node.

    Args:
        node: its operation and attributes.
        operands: a variable or literal for each input; they may be repeated.
        positive: whether to take the form for positive arguments where there is one.
    """
    vector = _vector(node)
    if vector is not None:
        positive = positive or _is_known_positive(node)
        return f"pyroxene_{vector}{'_positive' if positive else ''}({operands[0]})"
    if node.op in _FUNCTIONS:
        return f"{node.op}({', '.join(operands)})"
    if node.op in SPECIAL:
        return f"special_{node.op}({operands[0]}, 0)"
    if node.op == "as_float" and node.inputs[0].kind == "b":
        return f"({operands[0]} ? 1.0 : 0.0)"  # as a conversion it would keep compilers from making vectors
    return _FORMS[node.op].format(*operands, n=node.attributes[0] if node.attributes else "")
