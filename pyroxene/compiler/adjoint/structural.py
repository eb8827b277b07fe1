"""Adjoints of what moves and sums elements: views, assemblies, reductions, rows, running sums, linear algebra."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Node
from pyroxene.compiler.lowering.algebraic import identity, product
from pyroxene.compiler.strides import contiguous

__all__ = ["STRUCTURAL_ADJOINTS", "spread"]

Adjoint = Callable[[Builder, Node, Node], tuple[Node | None, ...]]


def spread(b: Builder, reduced: Node, shape: tuple[int, ...], dims: tuple[int, ...]) -> Node:
    """Return a reduction's result, or gradient, over the shape before it."""
    own = contiguous(reduced.shape)
    kept = iter(own)
    strides = tuple(0 if axis in dims else next(kept) for axis in range(len(shape)))
    return b.view(reduced, shape, strides, 0)


def _reduce(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    how, dims = y.attributes
    (x,) = y.inputs
    wide = spread(b, g, x.shape, dims)
    if how == "sum":
        return (wide,)
    hit = b("as_float", b("eq", x, spread(b, y, x.shape, dims)))
    count = b.reduce(hit, "sum", dims)
    return (b("mul", hit, spread(b, b("div", g, count), x.shape, dims)),)


def _assemble(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    return tuple(b.view(g, piece.shape, *place) for piece, place in zip(y.inputs, y.attributes[0]))


def _take(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    source, index = y.inputs
    return b.put(g, index, source.shape[0]), None


def _put(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    return b.take(g, y.inputs[1]), None


def _cumsum(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    dim, reverse = y.attributes
    return (b.cumsum(g, dim, not reverse),)


def _matmul(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    left, right = y.inputs
    return product(b, g, b.transpose(right)), product(b, b.transpose(left), g)


def _lower_part(b: Builder, x: Node) -> Node:
    """Return the lower triangle of (*batch, n, n)."""
    n = x.shape[-1]
    mask = b.expand(b.table(torch.ones(n, n, dtype=torch.bool).tril()), x.shape)
    return b("where", mask, x, 0.0)


def _solve(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    lower, _right = y.inputs
    (transposed,) = y.attributes
    for_right = b.solve(lower, g, not transposed)
    outer = (y, for_right) if transposed else (for_right, y)
    for_lower = b("neg", _lower_part(b, product(b, outer[0], b.transpose(outer[1]))))
    return for_lower, for_right


def _lu_solve(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    a, factors, _right = y.inputs
    (transposed,) = y.attributes
    for_right = b.lu_solve(a, factors, g, not transposed)
    outer = (y, for_right) if transposed else (for_right, y)
    return b("neg", product(b, outer[0], b.transpose(outer[1]))), None, for_right


def _log_determinant(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    a, factors = y.inputs
    inverse = b.transpose(b.lu_solve(a, factors, identity(b, a.shape)))  # the node that an inverse in the program is
    return b("mul", b.reshape(g, (*g.shape, 1, 1)), inverse), None


def _cholesky(b: Builder, g: Node, y: Node) -> tuple[Node | None, ...]:
    return (b.cholesky_adjoint(y, g),)


STRUCTURAL_ADJOINTS: dict[str, Adjoint] = {
    "reduce": _reduce,
    "assemble": _assemble,
    "take": _take,
    "put": _put,
    "cumsum": _cumsum,
    "matmul": _matmul,
    "solve": _solve,
    "lu_solve": _lu_solve,
    "log_determinant": _log_determinant,
    "cholesky": _cholesky,
    "stop": lambda b, g, y: (None,),
}
"""By operation; views are in `reverse.py`, where the gradients of all views of a node meet."""
