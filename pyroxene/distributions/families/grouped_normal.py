"""GroupedNormalNormal: normal observations in groups, the groups' means summed out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch import Normal
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ShapeError

__all__ = ["GroupedNormalNormal"]

_LOG_TWO_PI = math.log(2 * math.pi)


class GroupedNormalNormal(TorchDistribution):
    """Vector of observations x_i ~ N(z_g(i), obs_scale_i) with latent group means z_g ~ N(prior_loc_g, prior_scale_g).

    The means are integrated out: the observations of a group are jointly normal with mean prior_loc_g and covariance
    prior_scale_g^2 1 1^T + diag(obs_scale^2), at a cost linear in their number.

    Args:
        prior_loc: mean of each group's mean, shape (*batch_shape, G).
        prior_scale: standard deviation of each group's mean, positive, shape (*batch_shape, G).
        obs_scale: standard deviation of each observation about its group's mean, positive, shape (*batch_shape, N) or
            ().
        group_idx: the group of each observation, integers from 0 to G - 1, shape (N,).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of N entries. Entry i has mean prior_loc_g(i) and variance
    prior_scale_g(i)^2 + obs_scale_i^2. In Pyro the event shape reads (), while a value is a vector all the same.

    Source: A. Gelman et al. (2013), Bayesian Data Analysis, section 5.4.

    Example:
        >>> d = GroupedNormalNormal(torch.zeros(2), torch.ones(2), torch.tensor(1.0), torch.tensor([0, 0, 1]))
        >>> d.log_prob(torch.zeros(3))
        tensor(-3.6527)
    """

    arg_constraints = {
        "prior_loc": constraints.real_vector,
        "prior_scale": constraints.independent(constraints.positive, 1),
        "obs_scale": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        prior_loc: torch.Tensor,
        prior_scale: torch.Tensor,
        obs_scale: torch.Tensor | float,
        group_idx: torch.Tensor,
        validate_args: bool | None = None,
    ) -> None:
        if group_idx.dim() != 1:
            raise ShapeError(
                "group_idx must be a 1-dimensional tensor of indices.",
                expected="integers of shape (N,)",
                got=group_idx,
            )
        prior_loc, prior_scale = torch.broadcast_tensors(*map(torch.as_tensor, (prior_loc, prior_scale)))
        if prior_loc.dim() < 1:
            raise ShapeError(
                "prior_loc and prior_scale of GroupedNormalNormal need an entry for each group",
                expected="shape (..., G)",
                got=f"shape {tuple(prior_loc.shape)}",
            )
        obs_scale = torch.as_tensor(obs_scale, dtype=prior_loc.dtype, device=prior_loc.device)
        obs_scale = obs_scale.expand(torch.Size(broadcast_shape(obs_scale.shape, group_idx.shape)))
        batch_shape = torch.Size(broadcast_shape(prior_loc.shape[:-1], obs_scale.shape[:-1]))
        self.prior_loc = prior_loc.expand(batch_shape + prior_loc.shape[-1:])
        self.prior_scale = prior_scale.expand(batch_shape + prior_scale.shape[-1:])
        self.obs_scale = obs_scale.expand(batch_shape + obs_scale.shape[-1:])
        self.group_idx = group_idx.long()
        super().__init__(batch_shape, group_idx.shape, validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls,
        prior_loc: Sequence[int],
        prior_scale: Sequence[int],
        obs_scale: Sequence[int],
        group_idx: Sequence[int],
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(broadcast_shape(prior_loc[:-1], prior_scale[:-1], obs_scale[:-1])), torch.Size(group_idx)

    @property
    def num_groups(self) -> int:
        """The number of groups G."""
        return self.prior_loc.shape[-1]

    def expand(self, batch_shape: Size, _instance: Any = None) -> GroupedNormalNormal:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(GroupedNormalNormal, _instance)
        batch_shape = torch.Size(batch_shape)
        for name in ("prior_loc", "prior_scale", "obs_scale"):
            parameter = getattr(self, name)
            setattr(new, name, parameter.expand(batch_shape + parameter.shape[-1:]))
        new.group_idx = self.group_idx
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw the groups' means, then observations about them; gradients reach prior and scale."""
        shape = torch.Size(sample_shape) + self._batch_shape
        means = self.prior_loc + self.prior_scale * torch.randn_like(self.prior_loc.expand(shape + (self.num_groups,)))
        noise = torch.randn_like(self.obs_scale.expand(shape + self._event_shape))
        return means.index_select(-1, self.group_idx) + self.obs_scale * noise

    def _per_group(self, entries: torch.Tensor) -> torch.Tensor:
        """Sum entries, shape (..., N), over each group, shape (..., G)."""
        zeros = torch.zeros(entries.shape[:-1] + (self.num_groups,), dtype=entries.dtype, device=entries.device)
        return zeros.index_add(entries.dim() - 1, self.group_idx, entries)

    def _of_groups(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Residuals from the prior means, precision of each observation, and precision that each group has of them."""
        residual = value - self.prior_loc.index_select(-1, self.group_idx)
        precision = self.obs_scale.square().reciprocal()
        return residual, precision, self._per_group(precision)

    def get_posterior(self, value: torch.Tensor) -> Normal:
        """Return the posterior of the groups' means given the observations.

        Args:
            value: observations, shape (*sample_shape, *batch_shape, N).

        Returns:
            A normal distribution of batch shape (*sample_shape, *batch_shape, G).
        """
        residual, precision, total = self._of_groups(value)
        shrink = self.prior_scale.square() / (1 + self.prior_scale.square() * total)
        loc = self.prior_loc + shrink * self._per_group(residual * precision)
        return Normal(loc, shrink.sqrt().expand(loc.shape), validate_args=False)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of the vector: of its spread within groups, and of the groups' averages."""
        if self._validate_args:
            self._validate_sample(value)
        residual, precision, total = self._of_groups(value)
        there = total > 0  # a group may have no observation
        safe = torch.where(there, total, 1.0)
        average = self._per_group(residual * precision) / safe
        within = (residual - average.index_select(-1, self.group_idx)).square() * precision
        variance = self.prior_scale.square()
        between = torch.where(there, average.square() / (variance + safe.reciprocal()), 0.0)
        log_scale = _LOG_TWO_PI * self._event_shape[0] + 2 * self.obs_scale.log().sum(-1)
        return -0.5 * (log_scale + within.sum(-1) + (between + torch.log1p(variance * total)).sum(-1))

    @property
    def mean(self) -> torch.Tensor:
        """Each observation's prior mean, shape (*batch_shape, N)."""
        return self.prior_loc.index_select(-1, self.group_idx)

    @property
    def variance(self) -> torch.Tensor:
        """Each observation's variance, shape (*batch_shape, N)."""
        return self.prior_scale.square().index_select(-1, self.group_idx) + self.obs_scale.square()
