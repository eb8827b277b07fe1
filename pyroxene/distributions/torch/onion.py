"""Samples of Cholesky factors of correlation matrices by the onion method, row by row."""

from __future__ import annotations

import torch

__all__ = ["sample_correlation_cholesky"]


def sample_correlation_cholesky(dim: int, concentration: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return lower Cholesky factors L with L L^T of density proportional to det^(concentration - 1).

    Row i (from 0) is a point of the unit sphere whose first i entries have a squared length
    y ~ Beta(i / 2, concentration + (dim - 1 - i) / 2) and a uniform direction.

    Args:
        dim: number of rows D.
        concentration: positive; it broadcasts with `shape`.
        shape: sample and batch shape.

    Returns:
        Shape (*shape, D, D); the gradient with respect to the concentration passes.

    Source: D. Lewandowski, D. Kurowicka and H. Joe (2009), Generating random correlation matrices based on vines and
    extended onion method, section 3.2.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> factor = sample_correlation_cholesky(3, torch.tensor(1.0), torch.Size((2,)))
        >>> (factor @ factor.mT).diagonal(dim1=-2, dim2=-1)
        tensor([[1.0000, 1.0000, 1.0000],
                [1.0000, 1.0000, 1.0000]])
    """
    dtype, device = concentration.dtype, concentration.device
    row = torch.arange(1, dim, dtype=dtype, device=device)
    later = concentration.unsqueeze(-1).expand(*shape, 1) + (dim - 1 - row) / 2
    earlier = (row / 2).expand(later.shape)
    # both squared lengths, neither by subtraction
    lengths = torch.distributions.Dirichlet(torch.stack([earlier, later], -1), validate_args=False).rsample().sqrt()
    tiny = torch.finfo(dtype).tiny
    normal = torch.randn(*shape, dim - 1, dim, dtype=dtype, device=device).tril()
    direction = normal / torch.linalg.vector_norm(normal, dim=-1, keepdim=True).clamp(min=tiny)
    below = torch.nn.functional.pad(lengths[..., :1] * direction, (0, 0, 1, 0))
    first = torch.ones(*shape, 1, dtype=dtype, device=device)
    return below + torch.diag_embed(torch.cat([first, lengths[..., 1].clamp(min=tiny)], -1))
