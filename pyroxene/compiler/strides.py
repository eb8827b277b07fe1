"""Strided views: which element of a row-major tensor each element of a view is, and how views compose."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = [
    "Shape",
    "broadcast",
    "compose",
    "contiguous",
    "invert_permutation",
    "is_identity",
    "is_injective",
    "ravel",
    "unravel",
]

Shape = tuple[int, ...]


def contiguous(shape: Sequence[int]) -> Shape:
    """Return the row-major strides of a shape, in elements; 0 along dimensions of one element.

    Zero there makes equal views compare equal.
    """
    strides = [0] * len(shape)
    step = 1
    for axis in range(len(shape) - 1, -1, -1):
        if shape[axis] != 1:
            strides[axis] = step
            step *= shape[axis]
    return tuple(strides)


def is_identity(source: Shape, shape: Shape, strides: Shape, offset: int) -> bool:
    """Say whether a view shows its source unchanged."""
    return source == shape and offset == 0 and strides == contiguous(shape)


def is_injective(shape: Shape, strides: Shape) -> bool:
    """Say whether no element of the source appears twice, judged by sorted strides; False where unsure."""
    reach = 0
    for stride, size in sorted((abs(stride), size) for size, stride in zip(shape, strides) if size > 1):
        if stride <= reach:
            return False
        reach += stride * (size - 1)
    return True


def ravel(index: Sequence[int], shape: Sequence[int]) -> int:
    """Return the row-major position of an index."""
    position = 0
    for i, size in zip(index, shape):
        position = position * size + i
    return position


def unravel(position: int, shape: Sequence[int]) -> Shape:
    """Return the index of a row-major position."""
    index = []
    for size in reversed(shape):
        index.append(position % size)
        position //= size
    return tuple(reversed(index))


def _coalesce(shape: Shape, strides: Shape) -> tuple[Shape, Shape]:
    """Merge neighbouring dimensions that step through the source as one would."""
    sizes: list[int] = []
    steps: list[int] = []
    for size, step in zip(shape, strides):
        if size == 1:
            continue
        if sizes and steps[-1] == step * size:
            sizes[-1] *= size
            steps[-1] = step
        else:
            sizes.append(size)
            steps.append(step)
    return tuple(sizes), tuple(steps)


def compose(
    inner_shape: Shape, inner_strides: Shape, inner_offset: int, shape: Shape, strides: Shape, offset: int
) -> tuple[Shape, int] | None:
    """Return strides and offset of a view of a view; None where no strided view shows it.

    Args:
        inner_shape: shape of the inner view, on which `strides` and `offset` count row-major.
        inner_strides: of the inner view on its source.
        inner_offset: likewise.
        shape: of the outer view.
        strides: likewise.
        offset: likewise.
    """
    if math.prod(shape) == 0:
        return (0,) * len(shape), 0
    sizes, steps = _coalesce(inner_shape, inner_strides)
    low = list(unravel(offset, sizes))
    high = list(low)
    result = []
    for size, stride in zip(shape, strides):
        if size == 1 or stride == 0:
            result.append(0)
            continue
        digits = [d if stride > 0 else -d for d in unravel(abs(stride), sizes)]
        if abs(stride) >= math.prod(sizes):
            return None
        for axis, digit in enumerate(digits):
            if digit > 0:
                high[axis] += digit * (size - 1)
            else:
                low[axis] += digit * (size - 1)
        result.append(sum(digit * step for digit, step in zip(digits, steps)))
    if any(value < 0 for value in low) or any(value >= size for value, size in zip(high, sizes)):
        return None
    start = inner_offset + sum(digit * step for digit, step in zip(unravel(offset, sizes), steps))
    return tuple(result), start


def broadcast(*shapes: Sequence[int]) -> Shape:
    """Return the shape that shapes broadcast to; `torch.broadcast_shapes` would import sympy, 0.3 seconds."""
    rank = max((len(shape) for shape in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, start=rank - len(shape)):
            if size != 1:
                assert result[axis] in (1, size), shapes
                result[axis] = size
    return tuple(result)


def invert_permutation(order: Sequence[int]) -> Shape:
    """Return the permutation that undoes another."""
    inverse = [0] * len(order)
    for position, axis in enumerate(order):
        inverse[axis] = position
    return tuple(inverse)
