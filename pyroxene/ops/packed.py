"""Packed tensors: tensors without singleton batch dimensions, whose dimensions bear symbols as in einsum."""

from __future__ import annotations

import string
from collections.abc import Mapping

import torch

__all__ = ["broadcast_all", "pack", "rename_equation", "scale_and_mask", "symbol", "unpack"]

_LETTERS = string.ascii_lowercase + string.ascii_uppercase


def symbol(index: int) -> str:
    """Return the einsum symbol number `index`: a-z, A-Z, then further letters of Unicode."""
    return _LETTERS[index] if index < len(_LETTERS) else chr(index + 140)


def _dims(value: torch.Tensor) -> str:
    dims: str = value._pyro_dims  # type: ignore[attr-defined]
    return dims


def _tag(value: torch.Tensor, dims: str) -> torch.Tensor:
    value._pyro_dims = dims  # type: ignore[attr-defined]
    return value


def pack(value: torch.Tensor | float | bool, dim_to_symbol: Mapping[int, str]) -> torch.Tensor | float | bool:
    """Drop the singleton dimensions of a tensor and name the others.

    Args:
        value: any batch shape; a number passes through.
        dim_to_symbol: negative dimension -> symbol.

    Returns:
        a tensor with attribute `_pyro_dims`, its symbols from left to right.

    Raises:
        ValueError: a dimension larger than 1 has no symbol.

    Example:
        >>> packed = pack(torch.zeros(3, 1, 2), {-1: "a", -3: "b"})
        >>> packed.shape, packed._pyro_dims
        (torch.Size([3, 2]), 'ba')
    """
    if not isinstance(value, torch.Tensor):
        return value
    if hasattr(value, "_pyro_dims"):
        raise ValueError(f"expected an unpacked tensor, got one packed as {_dims(value)!r}")
    kept = [dim for dim in range(-value.dim(), 0) if value.size(dim) > 1]
    unnamed = [dim for dim in kept if dim not in dim_to_symbol]
    if unnamed:
        raise ValueError(
            f"Invalid tensor shape.\n  allowed dims: {', '.join(map(str, sorted(dim_to_symbol)))}\n"
            f"  actual shape: {tuple(value.shape)}\n  try: declare a plate at dim {unnamed[0]}, or .to_event(...)"
        )
    squeezed = value.reshape([value.size(dim) for dim in kept])
    if squeezed is value:
        squeezed = value.view(value.shape)
    return _tag(squeezed, "".join(dim_to_symbol[dim] for dim in kept))


def unpack(value: torch.Tensor | float | bool, symbol_to_dim: Mapping[str, int]) -> torch.Tensor | float | bool:
    """Undo `pack`: put each named dimension back at its place, singletons between them."""
    if not isinstance(value, torch.Tensor):
        return value
    where = sorted((symbol_to_dim[s], i) for i, s in enumerate(_dims(value)))
    shape = [1] * (-where[0][0] if where else 0)
    for dim, i in where:
        shape[dim] = value.size(i)
    return value.permute([i for _, i in where]).reshape(shape)


def broadcast_all(*values: torch.Tensor, dims: str | None = None) -> tuple[torch.Tensor, ...]:
    """Expand packed tensors against each other.

    Args:
        values: packed tensors.
        dims: the symbols of the result in order; all symbols, sorted, where it is left out.
    """
    sizes = {s: value.size(i) for value in values for i, s in enumerate(_dims(value))}
    dims = "".join(sorted(sizes)) if dims is None else dims
    shape = [sizes[s] for s in dims]
    result = []
    for value in values:
        mine = _dims(value)
        if mine != dims:
            order = [mine.index(s) for s in dims if s in mine]
            ones = [value.size(mine.index(s)) if s in mine else 1 for s in dims]
            value = _tag(value.permute(order).reshape(ones).expand(shape), dims)
        result.append(value)
    return tuple(result)


def scale_and_mask(
    value: torch.Tensor, scale: float | torch.Tensor = 1.0, mask: bool | torch.Tensor | None = None
) -> torch.Tensor:
    """Scale a packed tensor and set it to zero where a packed mask is False."""
    if mask is False:
        return _tag(torch.zeros_like(value), _dims(value))
    dims = _dims(value)
    if isinstance(scale, torch.Tensor) and scale.dim():
        value, scale = broadcast_all(value, scale)
        dims = _dims(value)
    if not (isinstance(scale, (int, float)) and scale == 1):
        value = _tag(value * scale, dims)
    if isinstance(mask, torch.Tensor):
        value, mask = broadcast_all(value, mask)
        value = _tag(torch.where(mask, value, value.new_zeros(())), _dims(value))
    return value


def rename_equation(equation: str, *operands: torch.Tensor) -> str:
    """Rename an equation's inputs, positional symbols, to the symbols that the packed operands bear."""
    inputs, outputs = equation.split("->")
    renaming: dict[str, str] = {}
    for text, operand in zip(inputs.split(","), operands, strict=True):
        for old, new in zip(text, _dims(operand), strict=True):
            renaming.setdefault(old, new)
    new_inputs = ",".join(map(_dims, operands))
    new_outputs = ",".join("".join(renaming.get(s, s) for s in text) for text in outputs.split(","))
    return f"{new_inputs}->{new_outputs}"
