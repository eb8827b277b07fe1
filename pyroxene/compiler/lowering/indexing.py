"""Rules for what moves elements: joining, padding, gathering, scattering, triangles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Node
from pyroxene.compiler.lowering.call import Call, rule
from pyroxene.compiler.lowering.masks import choice
from pyroxene.compiler.strides import broadcast, contiguous

__all__: list[str] = []


@rule("cat", "concat")
def _cat(call: Call, tensors: Sequence[Node], dim: int = 0) -> Node:
    kept = [call.number(node) for node in tensors if node.shape != (0,)]
    return call.b.cat(kept, dim % len(kept[0].shape))


@rule("stack")
def _stack(call: Call, tensors: Sequence[Node], dim: int = 0) -> Node:
    b = call.b
    dim %= len(tensors[0].shape) + 1
    rows = []
    for node in tensors:
        rows.append(b.reshape(call.number(node), node.shape[:dim] + (1,) + node.shape[dim:]))
    return b.cat(rows, dim)


@rule("constant_pad_nd")
def _pad(call: Call, x: Node, pad: Sequence[int], value: float = 0) -> Node:
    b = call.b
    for position in range(len(pad) // 2):
        dim = len(x.shape) - 1 - position
        before, after = pad[2 * position], pad[2 * position + 1]
        cut = x.shape[dim] + min(before, 0) + min(after, 0)
        x = b.slice(x, dim, max(-before, 0), cut)
        pieces = []
        for length, piece in ((before, None), (cut, x), (after, None)):
            if piece is not None:
                pieces.append(piece)
            elif length > 0:
                shape = x.shape[:dim] + (length,) + x.shape[dim + 1 :]
                pieces.append(b.expand(b.literal(value, x.kind), shape))
        x = b.cat(pieces, dim)
    return x


@rule("flip")
def _flip(call: Call, x: Node, dims: Sequence[int]) -> Node:
    return call.b.flip(x, [d % len(x.shape) for d in dims])


@rule("roll")
def _roll(call: Call, x: Node, shifts: Any, dims: Any = ()) -> Node:
    b = call.b
    shifts = [shifts] if isinstance(shifts, int) else list(shifts)
    dims = [dims] if isinstance(dims, int) else list(dims)
    shape = x.shape
    if not dims:
        x, dims = b.reshape(x, (x.size,)), [0]
    for shift, dim in zip(shifts, dims):
        size = x.shape[dim]
        cut = (-shift) % size
        if cut:
            x = b.cat([b.slice(x, dim, cut, size - cut), b.slice(x, dim, 0, cut)], dim % len(x.shape))
    return b.reshape(x, shape)


@rule("repeat")
def _repeat(call: Call, x: Node, repeats: Sequence[int]) -> Node:
    b = call.b
    lead = len(repeats) - len(x.shape)
    shape = (1,) * lead + x.shape
    x = b.reshape(x, shape)
    spread = tuple(value for pair in zip(repeats, shape) for value in pair)
    lifted = b.reshape(x, tuple(value for size in shape for value in (1, size)))
    return b.reshape(b.expand(lifted, spread), call.shape)


@rule("view", "_unsafe_view", "reshape", "_reshape_alias")
def _view(call: Call, x: Node, *_: Any) -> Node:
    return call.b.reshape(x, call.shape)


def rows(b: Builder, x: Node, dim: int, index: Node) -> Node:
    """Return x indexed along one dimension by a tensor of indices, whose dimensions stand in its place."""
    size = x.shape[dim]
    if index.op != "literal":
        index = _wrapped(b, index, size)
    if dim == 0:
        return b.take(x, index)
    dim %= len(x.shape)
    order = [dim, *(axis for axis in range(len(x.shape)) if axis != dim)]
    taken = b.take(b.permute(x, order), index)
    lead = len(index.shape)
    back = [*range(lead, lead + dim), *range(lead), *range(lead + dim, lead + len(x.shape) - 1)]
    return b.permute(taken, back)


def _wrapped(b: Builder, index: Node, size: int) -> Node:
    """Count negative indices from the end."""
    return b("where", b("lt", index, 0), b("iadd", index, size), index)


@rule("index_select")
def _index_select(call: Call, x: Node, dim: int, index: Node) -> Node:
    if not x.shape:
        return x
    return rows(call.b, x, dim % len(x.shape), call.b.reshape(index, (index.size,)))


@rule("embedding")
def _embedding(call: Call, weight: Node, index: Node, *_: Any) -> Node:
    return rows(call.b, weight, 0, index)


def _linear(b: Builder, indices: Sequence[Node], sizes: Sequence[int]) -> Node:
    """Join index tensors over neighbouring dimensions into one over all of them."""
    total: Node | None = None
    for index, size in zip(indices, sizes):
        wrapped = _wrapped(b, index, size)
        total = wrapped if total is None else b("iadd", b("imul", total, size), wrapped)
    assert total is not None
    return total


def _by_dimension(b: Builder, indices: Sequence[Node | None]) -> list[Node | None] | None:
    """Return an index for each dimension: a mask as the positions that it chooses; None where these are not known."""
    found: list[Node | None] = []
    for index in indices:
        if index is None or index.kind != "b":
            found.append(index)
            continue
        chosen = choice(b, index)
        if chosen is None or not index.shape:
            return None
        found += [b.table(places) for places in chosen.nonzero(as_tuple=True)]
    return found


def _advanced(call: Call, x: Node, indices: Sequence[Node | None]) -> tuple[list[int], Node, bool] | None:
    """Return the indexed dimensions, one joined index and whether they are neighbours; None where none is known."""
    known = _by_dimension(call.b, indices)
    if known is None:
        return None
    dims = [axis for axis, index in enumerate(known) if index is not None]
    chosen = [index for index in known if index is not None]
    shape = broadcast(*[index.shape for index in chosen])
    wide = [call.b.expand(index, shape) for index in chosen]
    return dims, _linear(call.b, wide, [x.shape[d] for d in dims]), dims == list(range(dims[0], dims[-1] + 1))


@rule("index", "_unsafe_index")
def _index(call: Call, x: Node, indices: Sequence[Node | None]) -> Any:
    found = _advanced(call, x, indices)
    if found is None:
        return NotImplemented
    if call.out.numel() == 0:
        return call.full(0)
    dims, index, together = found
    b = call.b
    rest = [axis for axis in range(len(x.shape)) if axis not in dims]
    front = b.permute(x, [*dims, *rest])
    count = math.prod(x.shape[d] for d in dims)
    taken = b.take(b.reshape(front, (count, *(x.shape[a] for a in rest))), index)
    lead = len(index.shape)
    before = dims[0] if together else 0
    order = [*range(lead, lead + before), *range(lead), *range(lead + before, lead + len(rest))]
    return b.permute(taken, order)


@rule("index_put", "_index_put_impl", "_unsafe_index_put")
def _index_put(
    call: Call, x: Node, indices: Sequence[Node | None], values: Node, accumulate: bool = False, *_: Any
) -> Any:
    b = call.b
    masks = [index for index in indices if index is not None and index.kind == "b"]
    if masks and len(indices) == 1 and values.size == 1 and not accumulate:
        mask = b.reshape(masks[0], masks[0].shape + (1,) * (len(x.shape) - len(masks[0].shape)))
        return b("where", mask, b.reshape(values, ()), x)
    found = _advanced(call, x, indices)
    if found is None:
        return NotImplemented
    dims, index, together = found
    if index.size == 0:
        return x
    rest = [axis for axis in range(len(x.shape)) if axis not in dims]
    count = math.prod(x.shape[d] for d in dims)
    inner = tuple(x.shape[a] for a in rest)
    before = dims[0] if together else 0
    wide = b.expand(call.number(values), inner[:before] + index.shape + inner[before:])
    lead = len(index.shape)
    front = [*range(before, before + lead), *range(before), *range(before + lead, lead + len(rest))]
    updates = b.permute(wide, front)
    order = [*dims, *rest]
    shape = tuple(x.shape[a] for a in order)
    added = b.reshape(b.put(updates, index, count), shape)
    inverse = [order.index(axis) for axis in range(len(order))]
    added = b.permute(added, inverse)
    if accumulate:
        return b("add", x, added)
    if [index for index in indices if index is not None] == masks[:1]:  # one mask: it says itself what is replaced
        hit = masks[0]
    else:
        ones = b.expand(b.literal(1, "i"), updates.shape[:lead])
        hit = b("gt", b.put(ones, index, count), 0)
    wide_hit = b.reshape(hit, tuple(x.shape[d] for d in dims) + (1,) * len(rest))
    return b("where", b.permute(b.expand(wide_hit, shape), inverse), added, x)


def _element_index(b: Builder, dim: int, index: Node, shape: tuple[int, ...]) -> Node:
    """Return for each element of `index` its position in a tensor of `shape` that is indexed along `dim`."""
    position: Node = b.expand(b.literal(0, "i"), index.shape)
    strides = _strides(shape)
    for axis in range(len(shape)):
        if axis == dim:
            along = _wrapped(b, index, shape[dim])
        else:
            steps = b.table(torch.arange(index.shape[axis]))
            along = b.expand(
                b.reshape(steps, tuple(index.shape[axis] if a == axis else 1 for a in range(len(shape)))), index.shape
            )
        position = b("iadd", position, b("imul", along, strides[axis]))
    return position


def _strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


@rule("gather")
def _gather(call: Call, x: Node, dim: int, index: Node, **_: Any) -> Node:
    b = call.b
    if not x.shape:
        return b.expand(x, index.shape)
    position = _element_index(b, dim % len(x.shape), index, x.shape)
    return b.take(b.reshape(x, (x.size,)), position)


@rule("take")
def _take(call: Call, x: Node, index: Node) -> Node:
    return call.b.take(call.b.reshape(x, (x.size,)), _wrapped(call.b, index, x.size))


@rule("scatter_add")
def _scatter_add(call: Call, x: Node, dim: int, index: Node, source: Node) -> Node:
    b = call.b
    source = _corner(b, source, index.shape)
    position = _element_index(b, dim % len(x.shape), index, x.shape)
    return b("add", x, b.reshape(b.put(source, position, x.size), x.shape))


@rule("scatter")
def _scatter(call: Call, x: Node, dim: int, index: Node, source: Node | float, **kwargs: Any) -> Any:
    if kwargs.get("reduce"):
        return NotImplemented
    b = call.b
    wide = _corner(b, source, index.shape) if isinstance(source, Node) and source.shape else None
    values = wide if wide is not None else b.expand(call.number(source), index.shape)
    position = _element_index(b, dim % len(x.shape), index, x.shape)
    added = b.reshape(b.put(call.number(values), position, x.size), x.shape)
    hits = b.put(b.expand(b.literal(1, "i"), index.shape), position, x.size)
    return b("where", b.reshape(b("gt", hits, 0), x.shape), added, x)


def _corner(b: Builder, x: Node, shape: tuple[int, ...]) -> Node:
    for axis, size in enumerate(shape):
        x = b.slice(x, axis, 0, size)
    return x


@rule("index_add")
def _index_add(call: Call, x: Node, dim: int, index: Node, source: Node, alpha: float = 1) -> Node:
    b = call.b
    dim %= len(x.shape)
    order = [dim, *(axis for axis in range(len(x.shape)) if axis != dim)]
    front = b.permute(source, order)
    added = b.put(front, _wrapped(b, index, x.shape[dim]), x.shape[dim])
    inverse = [order.index(axis) for axis in range(len(order))]
    back = b.permute(added, inverse)
    return b("add", x, back if alpha == 1 else b("mul", back, float(alpha)))


def _triangle(call: Call, x: Node, keep: torch.Tensor) -> Node:
    mask = call.b.table(keep)
    return call.b("where", call.b.expand(mask, x.shape), x, call.b.literal(0, x.kind))


@rule("tril")
def _tril(call: Call, x: Node, diagonal: int = 0) -> Node:
    return _triangle(call, x, torch.ones(x.shape[-2:], dtype=torch.bool).tril(diagonal))


@rule("triu")
def _triu(call: Call, x: Node, diagonal: int = 0) -> Node:
    return _triangle(call, x, torch.ones(x.shape[-2:], dtype=torch.bool).triu(diagonal))


@rule("diag_embed")
def _diag_embed(call: Call, x: Node, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    if (dim1, dim2) not in ((-2, -1), (len(x.shape) - 1, len(x.shape))):
        return NotImplemented
    shape = call.shape
    rows_, columns = max(-offset, 0), max(offset, 0)
    strides = tuple(math.prod(shape[a + 1 :]) for a in range(len(shape) - 2)) + (shape[-1] + 1,)
    return call.b.assemble([x], [(strides, rows_ * shape[-1] + columns)], shape, True)


@rule("diagonal_copy", "diagonal")
def _diagonal(call: Call, x: Node, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Node:
    b = call.b
    rank = len(x.shape)
    dim1, dim2 = dim1 % rank, dim2 % rank
    own = contiguous(x.shape)
    rest = [axis for axis in range(rank) if axis not in (dim1, dim2)]
    start = own[dim2] * offset if offset >= 0 else own[dim1] * -offset
    strides = tuple(own[a] for a in rest) + (own[dim1] + own[dim2],)
    return b.view(x, call.shape, strides, start)


@rule("select_scatter")
def _select_scatter(call: Call, x: Node, source: Node, dim: int, index: int) -> Node:
    b = call.b
    shape = x.shape[:dim] + (1,) + x.shape[dim + 1 :]
    index %= x.shape[dim]
    before = b.slice(x, dim, 0, index)
    after = b.slice(x, dim, index + 1, x.shape[dim] - index - 1)
    return b.cat([before, b.reshape(source, shape), after], dim)
