"""Kullback-Leibler divergences in closed form: torch's registry, and what our wrappers and families add to it.

A pair without a closed form raises NotImplementedError, which tells an estimator to sample instead.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributions as torchdist
from torch.distributions.kl import kl_divergence, register_kl

from pyroxene.distributions.families.delta import Delta
from pyroxene.distributions.torch_distribution import ExpandedDistribution, Independent, MaskedDistribution
from pyroxene.distributions.util import scale_and_mask, sum_rightmost

__all__ = ["kl_divergence", "register_kl"]


@register_kl(Delta, ExpandedDistribution)
@register_kl(Delta, torchdist.Distribution)
def _kl_delta(p: Delta, q: Any) -> torch.Tensor:
    return p.log_density - q.log_prob(p.v)


@register_kl(Independent, Independent)
def _kl_independent(p: Independent, q: Independent) -> torch.Tensor:
    shared = min(p.reinterpreted_batch_ndims, q.reinterpreted_batch_ndims)
    return sum_rightmost(kl_divergence(p.to_event(-shared), q.to_event(-shared)), shared)


def _as_multivariate(d: Independent) -> torchdist.MultivariateNormal:
    """A vector of independent normal variables as a multivariate normal distribution."""
    if d.reinterpreted_batch_ndims != 1 or not isinstance(d.base_dist, torchdist.Normal):
        raise NotImplementedError(f"no closed form for {d}")
    return torchdist.MultivariateNormal(
        d.base_dist.loc, scale_tril=torch.diag_embed(d.base_dist.scale), validate_args=False
    )


@register_kl(Independent, torchdist.MultivariateNormal)
def _kl_independent_multivariate(p: Independent, q: torchdist.MultivariateNormal) -> torch.Tensor:
    return kl_divergence(_as_multivariate(p), q)


@register_kl(torchdist.MultivariateNormal, Independent)
def _kl_multivariate_independent(p: torchdist.MultivariateNormal, q: Independent) -> torch.Tensor:
    return kl_divergence(p, _as_multivariate(q))


@register_kl(MaskedDistribution, MaskedDistribution)
def _kl_masked(p: MaskedDistribution, q: MaskedDistribution) -> torch.Tensor:
    """Model and guide carry the same mask as a rule; where they do not, what either leaves out counts nothing."""
    p_mask, q_mask = p._mask, q._mask
    if p_mask is False or q_mask is False:
        shape = torch.broadcast_shapes(p.batch_shape, q.batch_shape)
        return torch.zeros(()).expand(shape)
    mask = q_mask if p_mask is True else p_mask if q_mask is True else p_mask & q_mask
    return scale_and_mask(kl_divergence(p.base_dist, q.base_dist), mask=mask)  # type: ignore[return-value]


@register_kl(ExpandedDistribution, ExpandedDistribution)
def _kl_expanded(p: ExpandedDistribution, q: ExpandedDistribution) -> torch.Tensor:
    return _over_batches(kl_divergence(p.base_dist, q.base_dist), p, q)


@register_kl(ExpandedDistribution, torchdist.Distribution)
def _kl_expanded_any(p: ExpandedDistribution, q: Any) -> torch.Tensor:
    return _over_batches(kl_divergence(p.base_dist, q), p, q)


@register_kl(torchdist.Distribution, ExpandedDistribution)
def _kl_any_expanded(p: Any, q: ExpandedDistribution) -> torch.Tensor:
    return _over_batches(kl_divergence(p, q.base_dist), p, q)


def _over_batches(divergence: torch.Tensor, p: Any, q: Any) -> torch.Tensor:
    """Expand the divergence of unexpanded distributions to the batch shape of the expanded ones."""
    return divergence.expand(torch.broadcast_shapes(p.batch_shape, q.batch_shape))
