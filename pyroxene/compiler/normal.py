"""The logarithm of the normal distribution function, as parts that its value and its slope share."""

from __future__ import annotations

import math

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Node

__all__ = ["log_ndtr_slope", "log_ndtr_value", "ndtr_value"]

_ONE_OVER_ROOT_TWO = 1.0 / math.sqrt(2.0)
_ONE_OVER_ROOT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)


def ndtr_value(b: Builder, x: Node) -> Node:
    """Return the normal distribution function of x."""
    return b("mul", b("erfc", b("mul", x, -_ONE_OVER_ROOT_TWO)), 0.5)


def _parts(b: Builder, x: Node) -> tuple[Node, Node, Node, Node]:
    """Return whether x < 0, exp(-x^2 / 2), the upper tail q of |x|, and u.

    u is ndtr(x) where x >= 0, and ndtr(x) exp(x^2 / 2), which does not underflow, where x < 0.
    """
    below = b("lt", x, 0.0)
    half = b("mul", b("erfcx", b("abs", b("mul", x, _ONE_OVER_ROOT_TWO))), 0.5)
    bell = b("exp", b("mul", b("square", x), -0.5))
    tail = b("mul", half, bell)
    return below, bell, tail, b("where", below, half, b("sub", 1.0, tail))


def log_ndtr_value(b: Builder, x: Node) -> Node:
    """Return log u - x^2 / 2 where x < 0; else log1p(-q) by the logarithm of u, which is 1 - q rounded."""
    below, _, tail, u = _parts(b, x)
    rounded_away = b("div", b("sub", tail, b("sub", 1.0, u)), u)
    return b("sub", b("log", u), b("where", below, b("mul", b("square", x), 0.5), rounded_away))


def log_ndtr_slope(b: Builder, x: Node) -> Node:
    """Return the normal density over ndtr(x)."""
    below, bell, _, u = _parts(b, x)
    return b("div", b("mul", b("where", below, 1.0, bell), _ONE_OVER_ROOT_TWO_PI), u)
