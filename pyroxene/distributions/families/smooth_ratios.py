"""Quotients that are 0 / 0 at 0 but smooth."""

from __future__ import annotations

import torch

__all__ = ["expm1_ratio", "log1p_ratio"]


def log1p_ratio(x: torch.Tensor) -> torch.Tensor:
    """Return log(1 + x) / x for x > -1, with value and gradient right through 0.

    Example:
        >>> log1p_ratio(torch.tensor([0.0, 1.0]))
        tensor([1.0000, 0.6931])
    """
    is_small = x.abs() < 0.01
    small = torch.where(is_small, x, 0.0)
    series = torch.zeros_like(small)
    for n in range(9, 0, -1):
        series = 1 / n - small * series
    safe = torch.where(is_small, 1.0, x)
    return torch.where(is_small, series, torch.log1p(safe) / safe)


def expm1_ratio(x: torch.Tensor) -> torch.Tensor:
    """Return (e^x - 1) / x, with value and gradient right through 0.

    Example:
        >>> expm1_ratio(torch.tensor([0.0, 1.0]))
        tensor([1.0000, 1.7183])
    """
    is_small = x.abs() < 0.01
    small = torch.where(is_small, x, 0.0)
    series = torch.ones_like(small)
    for n in range(8, 1, -1):
        series = 1 + small * series / n
    safe = torch.where(is_small, 1.0, x)
    return torch.where(is_small, series, torch.expm1(safe) / safe)
