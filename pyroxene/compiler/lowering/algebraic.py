"""Rules for linear algebra."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Node
from pyroxene.compiler.lowering.call import Call, rule
from pyroxene.compiler.strides import broadcast, contiguous

__all__ = ["identity", "product"]

LOOPS = 512
"""Up to how many multiplications a product is written as loops, which fuse with their neighbours."""


def product(b: Builder, x: Node, y: Node) -> Node:
    """Return the product of (*batch, m, k) and (*batch, k, n), as loops that fuse where one side is thin."""
    *batch, m, k = x.shape
    n = y.shape[-1]
    if min(m, n, k) == 1 or k * n <= LOOPS // 8 or m * k * n <= LOOPS:
        left = b.expand(b.reshape(x, (*batch, m, 1, k)), (*batch, m, n, k))
        right = b.transpose(y)
        right = b.expand(b.reshape(right, (*batch, 1, n, k)), (*batch, m, n, k))
        return b.reduce(b("mul", left, right), "sum", (len(batch) + 2,))
    return b.matmul(x, y)


@rule("mm", "bmm")
def _mm(call: Call, x: Node, y: Node) -> Node:
    return product(call.b, call.number(x), call.number(y))


@rule("mv")
def _mv(call: Call, x: Node, y: Node) -> Node:
    b = call.b
    return b.reduce(b("mul", call.number(x), call.number(y)), "sum", (1,))


def _scaled(b: Builder, x: Node, factor: float) -> Node:
    return x if factor == 1 else b("mul", x, float(factor))


@rule("addmm", "baddbmm")
def _addmm(call: Call, c: Node, x: Node, y: Node, beta: float = 1, alpha: float = 1) -> Node:
    b = call.b
    return b("add", _scaled(b, c, beta), _scaled(b, product(b, x, y), alpha))


@rule("addmv")
def _addmv(call: Call, c: Node, x: Node, y: Node, beta: float = 1, alpha: float = 1) -> Node:
    b = call.b
    return b("add", _scaled(b, c, beta), _scaled(b, b.reduce(b("mul", x, y), "sum", (1,)), alpha))


@rule("addr")
def _addr(call: Call, c: Node, x: Node, y: Node, beta: float = 1, alpha: float = 1) -> Node:
    b = call.b
    outer = b("mul", b.reshape(x, (x.shape[0], 1)), b.reshape(y, (1, y.shape[0])))
    return b("add", _scaled(b, c, beta), _scaled(b, outer, alpha))


def _lower(call: Call, a: Node, upper: bool) -> Node:
    b = call.b
    factor = b.cholesky(b.transpose(a) if upper else a)
    return b.transpose(factor) if upper else factor


@rule("linalg_cholesky_ex")
def _cholesky_ex(call: Call, a: Node, upper: bool = False, **_: Any) -> Any:
    return _lower(call, a, upper), None


@rule("cholesky")
def _cholesky(call: Call, a: Node, upper: bool = False) -> Node:
    return _lower(call, a, upper)


def _flipped(b: Builder, a: Node) -> Node:
    rank = len(a.shape)
    return b.flip(a, (rank - 2, rank - 1))


def _triangular(b: Builder, a: Node, y: Node, upper: bool, unit: bool) -> Node:
    """Solve by the lower triangle of a, or the upper one, which is the transpose of a lower one."""
    batch = broadcast(a.shape[:-2], y.shape[:-2])
    a = b.expand(a, (*batch, *a.shape[-2:]))
    y = b.expand(y, (*batch, *y.shape[-2:]))
    if unit:
        eye = b.table(torch.eye(a.shape[-1], dtype=torch.bool))
        a = b("where", b.expand(eye, a.shape), 1.0, a)
    return b.solve(b.transpose(a), y, True) if upper else b.solve(a, y)


@rule("linalg_solve_triangular")
def _solve_triangular(
    call: Call, a: Node, y: Node, *, upper: bool, left: bool = True, unitriangular: bool = False, **_: Any
) -> Node:
    b = call.b
    if left:
        return _triangular(b, a, y, upper, unitriangular)
    return b.transpose(_triangular(b, b.transpose(a), b.transpose(y), not upper, unitriangular))


@rule("triangular_solve")
def _old_triangular_solve(
    call: Call, y: Node, a: Node, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    b = call.b
    if transpose:
        a, upper = b.transpose(a), not upper
    return _triangular(b, a, y, upper, unitriangular), None


@rule("cholesky_solve")
def _cholesky_solve(call: Call, y: Node, factor: Node, upper: bool = False) -> Node:
    b = call.b
    lower = b.transpose(factor) if upper else factor
    return _triangular(b, b.transpose(lower), _triangular(b, lower, y, False, False), True, False)


@rule("cholesky_inverse")
def _cholesky_inverse(call: Call, factor: Node, upper: bool = False) -> Node:
    return _cholesky_solve(call, identity(call.b, factor.shape), factor, upper)


def identity(b: Builder, shape: tuple[int, ...]) -> Node:
    """Return the identity for each matrix of a shape (*batch, n, n)."""
    return b.expand(b.table(torch.eye(shape[-1], dtype=torch.float64)), shape)


def _quotient(b: Builder, a: Node, y: Node, transpose: bool) -> Node:
    """Return a^-1 y, or a^-T y, of (*batch, n, n) and (*batch, n, k), whose batches broadcast."""
    rank = len(y.shape)
    if len(a.shape) == 2 < rank:  # one matrix: the batch is more columns
        order = [rank - 2, *range(rank - 2), rank - 1]
        columns = b.permute(y, order)
        n = y.shape[-2]
        solved = b.lu_solve(a, b.lu(a), b.reshape(columns, (n, y.size // n)), transpose)
        return b.permute(b.reshape(solved, columns.shape), [order.index(axis) for axis in range(rank)])
    batch = broadcast(a.shape[:-2], y.shape[:-2])
    factors = b.lu(a)
    a, factors = (b.expand(x, (*batch, *x.shape[-2:])) for x in (a, factors))
    return b.lu_solve(a, factors, b.expand(y, (*batch, *y.shape[-2:])), transpose)


@rule("linalg_inv_ex")
def _inverse(call: Call, a: Node, **_: Any) -> Any:
    return _quotient(call.b, a, identity(call.b, a.shape), False), None


@rule("_linalg_solve_ex")
def _solve_ex(call: Call, a: Node, y: Node, *, left: bool = True, **_: Any) -> Any:
    b = call.b
    is_vector = len(y.shape) == 1 or y.shape == a.shape[:-1]
    if is_vector:
        y = b.reshape(y, (*y.shape, 1))
    elif not left:
        y = b.transpose(y)
    result = _quotient(b, a, y, not left)
    if is_vector:
        return b.reshape(result, call.shape), None, None, None
    return result if left else b.transpose(result), None, None, None


def _determinant(b: Builder, a: Node) -> tuple[Node, Node]:
    """Return signs and logarithms of absolute values."""
    factors = b.lu(a)
    still = b.stop(factors)
    *batch, n, _ = a.shape
    rows = contiguous(factors.shape)
    pivots = b.view(still, (*batch, n), (*rows[:-2], rows[-1]), n * n)
    moved = b("ne", pivots, b.table(torch.arange(n, dtype=torch.float64)))
    signs = b("mul", b("sign", b.diagonal(still)), b("where", moved, -1.0, 1.0))
    return b.reduce(signs, "prod", (len(batch),)), b.log_determinant(a, factors)


@rule("_linalg_slogdet")
def _slogdet(call: Call, a: Node) -> Any:
    return *_determinant(call.b, a), None, None


@rule("_linalg_det")
def _det(call: Call, a: Node) -> Any:
    sign, logarithm = _determinant(call.b, a)
    return call.b("mul", sign, call.b("exp", logarithm)), None, None


@rule("trace")
def _trace(call: Call, a: Node) -> Node:
    size = min(a.shape)
    diagonal = call.b.view(a, (size,), (a.shape[1] + 1,), 0)
    return call.b.reduce(diagonal, "sum", (0,))


@rule("linalg_cross")
def _cross(call: Call, x: Node, y: Node, dim: int = -1) -> Node:
    b = call.b
    dim %= len(x.shape)
    parts = []
    for first in range(3):
        second, third = (first + 1) % 3, (first + 2) % 3
        left = b("mul", b.slice(x, dim, second, 1), b.slice(y, dim, third, 1))
        right = b("mul", b.slice(x, dim, third, 1), b.slice(y, dim, second, 1))
        parts.append(b("sub", left, right))
    return b.cat(parts, dim)
