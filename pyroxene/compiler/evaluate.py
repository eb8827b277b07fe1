"""What each operation of a graph means, in PyTorch: the reference for passes and engines, and what folds constants."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pyroxene.compiler.gamma import gamma_sample, gamma_slope
from pyroxene.compiler.graph import Graph, Node, ordered

__all__ = ["apply", "evaluate"]

Tensor = torch.Tensor

DTYPES = {"f": torch.float64, "i": torch.int64, "b": torch.bool}


def _erfcx(x: Tensor) -> Tensor:
    return torch.special.erfcx(x)


_POINTWISE: dict[str, Callable[..., Tensor]] = {
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "log1p": torch.log1p,
    "expm1": torch.expm1,
    "log2": torch.log2,
    "log10": torch.log10,
    "exp2": torch.exp2,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "reciprocal": torch.reciprocal,
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "asin": torch.asin,
    "acos": torch.acos,
    "atan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "asinh": torch.asinh,
    "acosh": torch.acosh,
    "atanh": torch.atanh,
    "sigmoid": torch.sigmoid,
    "abs": torch.abs,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "trunc": torch.trunc,
    "lgamma": torch.lgamma,
    "digamma": torch.digamma,
    "erf": torch.erf,
    "erfc": torch.erfc,
    "erfinv": torch.erfinv,
    "ndtri": torch.special.ndtri,
    "ndtr": torch.special.ndtr,
    "log_ndtr": torch.special.log_ndtr,
    "i0": torch.special.i0,
    "i1": torch.special.i1,
    "i0e": torch.special.i0e,
    "i1e": torch.special.i1e,
    "erfcx": _erfcx,
    "sinc": torch.sinc,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "log_sigmoid": lambda x: -torch.logaddexp(-x, torch.zeros_like(x)),
    "square": torch.square,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "atan2": torch.atan2,
    "fmod": torch.fmod,
    "remainder": torch.remainder,
    "hypot": torch.hypot,
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "and": torch.logical_and,
    "or": torch.logical_or,
    "xor": torch.logical_xor,
    "iadd": torch.add,
    "isub": torch.sub,
    "imul": torch.mul,
    "idiv": lambda a, b: torch.div(a, b, rounding_mode="floor"),
    "imod": torch.remainder,
    "gamma_sample": gamma_sample,
    "gamma_slope": lambda alpha, x, _: gamma_slope(alpha, x),
    "not": torch.logical_not,
    "isnan": torch.isnan,
    "where": torch.where,
    "as_float": lambda x: x.to(torch.float64),
    "as_int": lambda x: x.to(torch.int64),
    "as_bool": lambda x: x.to(torch.bool),
}


def _view(node: Node, source: Tensor) -> Tensor:
    strides, offset = node.attributes
    flat = source.contiguous().reshape(-1)
    low = offset + sum(min(0, stride * (size - 1)) for stride, size in zip(strides, node.shape))
    axes = [axis for axis, stride in enumerate(strides) if stride < 0]  # torch has no negative strides
    positive = [abs(stride) for stride in strides]
    if node.size == 0:
        return flat.new_zeros(node.shape)
    seen = torch.as_strided(flat, node.shape, positive, int(flat.storage_offset()) + low)
    return seen.flip(axes) if axes else seen


def _positions(shape: Sequence[int], strides: Sequence[int], offset: int) -> Tensor:
    position = torch.full(tuple(shape), offset, dtype=torch.int64)
    for axis, (size, stride) in enumerate(zip(shape, strides)):
        steps = torch.arange(size) * stride
        position = position + steps.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return position


def _assemble(node: Node, pieces: Sequence[Tensor]) -> Tensor:
    whole = pieces[0].new_zeros(node.size)
    for piece, (strides, offset) in zip(pieces, node.attributes[0]):
        where = _positions(piece.shape, strides, offset).reshape(-1)
        if node.kind == "b":
            whole[where] |= piece.reshape(-1)
        else:
            whole = whole.index_add(0, where, piece.reshape(-1))
    return whole.reshape(node.shape)


def _reduce(node: Node, source: Tensor) -> Tensor:
    how, dims = node.attributes
    result = source
    if not dims:
        return result
    if how == "sum":
        return source.sum(dims)
    if how == "max":
        return source.amax(dims)
    if how == "min":
        return source.amin(dims)
    for axis in sorted(dims, reverse=True):
        result = result.prod(axis) if how == "prod" else getattr(result, how)(axis)
    return result


def _put(node: Node, values: Tensor, index: Tensor) -> Tensor:
    rows = values.new_zeros(node.shape)
    flat = values.reshape(index.numel(), *node.shape[1:])
    return rows.index_add(0, index.reshape(-1), flat)


def _cumsum(node: Node, source: Tensor) -> Tensor:
    dim, reverse = node.attributes
    return source.flip(dim).cumsum(dim).flip(dim) if reverse else source.cumsum(dim)


def _solve(node: Node, lower: Tensor, b: Tensor) -> Tensor:
    if node.attributes[0]:
        return torch.linalg.solve_triangular(lower.mT, b, upper=True)
    return torch.linalg.solve_triangular(lower, b, upper=False)


def _cholesky(a: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(a)
    bad = (failed != 0)[..., None, None]
    return torch.where(bad, torch.full_like(factor, float("nan")), factor)


def _lu(a: Tensor) -> Tensor:
    factors, pivots, _ = torch.linalg.lu_factor_ex(a.detach().mT)
    return torch.cat([factors.mT, (pivots - 1).to(a.dtype)[..., None, :]], -2)


def _lu_solve(node: Node, a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.solve_ex(a.mT if node.attributes[0] else a, b)[0]


def _scan(node: Node, values: Sequence[Tensor]) -> Tensor:
    body, length, reverse = node.attributes
    carries = list(values[: body.carries])
    sliced = values[body.carries : body.carries + body.slices]
    others = list(values[body.carries + body.slices :])
    collected: list[list[Tensor]] = [[] for _ in body.graph.outputs[body.carries :]]
    for t in reversed(range(length)) if reverse else range(length):
        results = evaluate(body.graph, [*carries, *(part[t] for part in sliced), *others])
        carries = results[: body.carries]
        for store, value in zip(collected, results[body.carries :]):
            store.append(value)
    if reverse:
        collected = [store[::-1] for store in collected]
    parts = [*carries, *(torch.stack(store) for store in collected)]
    return torch.cat([part.reshape(-1) for part in parts])


def _cholesky_adjoint(factor: Tensor, gradient: Tensor) -> Tensor:
    """Source: Murray 2016, Differentiation of the Cholesky decomposition, eq. 10."""
    middle = (factor.mT @ gradient.tril()).tril()
    middle = middle - 0.5 * torch.diag_embed(middle.diagonal(dim1=-2, dim2=-1))
    left = torch.linalg.solve_triangular(factor.mT, middle, upper=True)
    both = torch.linalg.solve_triangular(factor, left, upper=False, left=False)
    return (both + both.mT).tril() - torch.diag_embed(both.diagonal(dim1=-2, dim2=-1))


_OTHERS: dict[str, Callable[..., Tensor]] = {
    "view": _view,
    "assemble": lambda node, *pieces: _assemble(node, pieces),
    "reduce": _reduce,
    "take": lambda node, source, index: source[index],
    "put": _put,
    "cumsum": _cumsum,
    "matmul": lambda node, a, b: torch.matmul(a, b),
    "cholesky": lambda node, a: _cholesky(a),
    "cholesky_adjoint": lambda node, factor, gradient: _cholesky_adjoint(factor, gradient),
    "solve": _solve,
    "lu": lambda node, a: _lu(a),
    "lu_solve": lambda node, a, factors, b: _lu_solve(node, a, b),
    "log_determinant": lambda node, a, factors: torch.linalg.slogdet(a)[1],
    "scan": lambda node, *values: _scan(node, values),
    "stop": lambda node, source: source.detach(),
}


def apply(node: Node, values: Sequence[Tensor]) -> Tensor:
    """Return a node's value from those of its inputs."""
    if node.op in _POINTWISE:
        return _POINTWISE[node.op](*values)
    if node.op == "polygamma":
        return torch.polygamma(node.attributes[0], values[0])
    return _OTHERS[node.op](node, *values)


def evaluate(graph: Graph, arguments: Sequence[Tensor], outputs: Sequence[Node] | None = None) -> list[Tensor]:
    """Return what a graph computes, eagerly; differentiable with autograd.

    Args:
        graph: the graph.
        arguments: a tensor for each input.
        outputs: other nodes to return the values of.
    """
    wanted = list(outputs if outputs is not None else graph.outputs)
    values: dict[int, Tensor] = {}
    for node in ordered(wanted):
        if node.op == "input":
            value = arguments[node.attributes[0]]
        elif node.op == "literal":
            value = torch.tensor(node.attributes[0], dtype=DTYPES[node.kind])
        elif node.op == "data":
            value = graph.data[node.attributes[0]]
        else:
            value = apply(node, [values[id(source)] for source in node.inputs])
        values[id(node)] = value
    return [values[id(node)] for node in wanted]
