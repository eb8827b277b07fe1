"""Products along a time axis in logarithmic depth: neighbours are combined in pairs, then the pairs, and so on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["Combine", "prefix_products", "product"]

Elements = tuple[Tensor, ...]

Combine = Callable[[Elements, Elements], Elements]
"""(earlier, later) -> their product; associative, over any batch of elements at once."""


def _cut(elements: Elements, dims: Sequence[int], part: slice) -> Elements:
    """A slice of each tensor along its own time axis, a negative number."""
    return tuple(x[(..., part) + (slice(None),) * (-1 - dim)] for x, dim in zip(elements, dims))


def _join(first: Elements, second: Elements, dims: Sequence[int]) -> Elements:
    return tuple(torch.cat([x, y], dim) for x, y, dim in zip(first, second, dims))


def product(combine: Combine, elements: Elements, dims: Sequence[int]) -> Elements:
    """Combine all elements along time, in order.

    Source: W. D. Hillis and G. L. Steele (1986), Data Parallel Algorithms.

    Args:
        combine: an associative product of two batches of elements.
        elements: tensors that make up the elements, all of one length in time and of one batch shape.
        dims: the time axis of each tensor, negative.

    Returns:
        The product, its tensors without a time axis. The depth is log2 of the length, the work linear in it.

    Example:
        >>> product(lambda x, y: (x[0] @ y[0],), (torch.eye(2).mul(2).expand(5, 2, 2),), (-3,))
        (tensor([[32.,  0.],
                [ 0., 32.]]),)
    """
    length = elements[0].shape[dims[0]]
    while length > 1:
        even = length - length % 2
        paired = combine(_cut(elements, dims, slice(0, even, 2)), _cut(elements, dims, slice(1, even, 2)))
        elements = _join(paired, _cut(elements, dims, slice(even, None)), dims) if length % 2 else paired
        length = (length + 1) // 2
    return tuple(x.squeeze(dim) for x, dim in zip(elements, dims))


def prefix_products(combine: Combine, elements: Elements, dims: Sequence[int]) -> Elements:
    """Combine, for each time, all elements up to it.

    Source: G. E. Blelloch (1990), Prefix Sums and Their Applications, section 1.4.

    Args:
        combine: an associative product of two batches of elements.
        elements: tensors that make up the elements, all of one length in time and of one batch shape.
        dims: the time axis of each tensor, negative.

    Returns:
        Tensors of the shapes of `elements`. The depth is 2 log2 of the length, the work linear in it.

    Example:
        >>> prefix_products(lambda x, y: (x[0] + y[0],), (torch.arange(5),), (-1,))
        (tensor([ 0,  1,  3,  6, 10]),)
    """
    length = elements[0].shape[dims[0]]
    if length == 1:
        return elements
    even = length - length % 2
    pairs = combine(_cut(elements, dims, slice(0, even, 2)), _cut(elements, dims, slice(1, even, 2)))
    at_odd = prefix_products(combine, pairs, dims)
    first = _cut(elements, dims, slice(0, 1))
    if length == 2:
        return _join(first, at_odd, dims)
    before = _cut(at_odd, dims, slice(0, (length - 1) // 2))
    at_even = _join(first, combine(before, _cut(elements, dims, slice(2, None, 2))), dims)
    half = even // 2
    woven = tuple(
        torch.stack([x, y], dim).flatten(dim - 1, dim)
        for x, y, dim in zip(_cut(at_even, dims, slice(0, half)), at_odd, dims)
    )
    return _join(woven, _cut(at_even, dims, slice(half, None)), dims) if length % 2 else woven
