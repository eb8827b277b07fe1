"""Kullback-Leibler divergences between normal distributions of one structure, in closed form."""

from __future__ import annotations

import torch
from torch.distributions.kl import register_kl

from pyroxene.distributions.families.circulant_normal import CirculantNormal
from pyroxene.distributions.families.matrix_normal import MatrixNormal
from pyroxene.distributions.families.zero_sum_normal import ZeroSumNormal
from pyroxene.errors import ShapeError

__all__: list[str] = []


def _require_one_event_shape(p: torch.distributions.Distribution, q: torch.distributions.Distribution) -> None:
    if p.event_shape != q.event_shape:
        raise ShapeError(
            "the divergence of distributions of different event shapes does not exist",
            expected=tuple(p.event_shape),
            got=tuple(q.event_shape),
        )


@register_kl(ZeroSumNormal, ZeroSumNormal)
def _kl_zero_sum(p: ZeroSumNormal, q: ZeroSumNormal) -> torch.Tensor:
    _require_one_event_shape(p, q)
    log_ratio = p.scale.log() - q.scale.log()
    return p.free * (0.5 * torch.expm1(2 * log_ratio) - log_ratio)


@register_kl(CirculantNormal, CirculantNormal)
def _kl_circulant(p: CirculantNormal, q: CirculantNormal) -> torch.Tensor:
    _require_one_event_shape(p, q)
    log_ratio = p.covariance_rfft.log() - q.covariance_rfft.log()
    spread = (q.multiplicity * (torch.expm1(log_ratio) - log_ratio)).sum(-1)
    return 0.5 * (spread + q.squared_distance(p.loc))


@register_kl(MatrixNormal, MatrixNormal)
def _kl_matrix_normal(p: MatrixNormal, q: MatrixNormal) -> torch.Tensor:
    _require_one_event_shape(p, q)
    row = torch.linalg.solve_triangular(q.scale_tril_row, p.scale_tril_row, upper=False).square().sum((-2, -1))
    column = torch.linalg.solve_triangular(q.scale_tril_column, p.scale_tril_column, upper=False).square().sum((-2, -1))
    spread = row * column - p.event_shape.numel()
    return 0.5 * (spread + q.squared_distance(p.loc)) + q.log_det - p.log_det
