"""Torch's distributions that are made of others."""

from __future__ import annotations

import torch.distributions as torchdist

from pyroxene.distributions.torch.transformed import TransformedMixin
from pyroxene.distributions.torch_distribution import TorchDistributionMixin

__all__ = ["ExponentialFamily", "MixtureSameFamily", "TransformedDistribution"]


class ExponentialFamily(torchdist.ExponentialFamily, TorchDistributionMixin):
    """Abstract: an exponential family, whose entropy follows from its log normaliser.

    Implementing an exponential family: as torch's class of the same name asks, `_natural_params`, `_log_normalizer`
    and `_mean_carrier_measure`.
    """


class MixtureSameFamily(torchdist.MixtureSameFamily, TorchDistributionMixin):
    """Mixture of distributions of one family, the component summed out.

    Args:
        mixture_distribution: a `Categorical` over K components, batch shape batch_shape or ().
        component_distribution: the components, batch shape (*batch_shape, K).

    Example:
        >>> import torch
        >>> from pyroxene.distributions import Categorical, Normal
        >>> d = MixtureSameFamily(Categorical(torch.ones(2)), Normal(torch.tensor([-1.0, 1.0]), 1.0))
        >>> d.log_prob(torch.tensor(0.0))
        tensor(-1.4189)
    """


class TransformedDistribution(torchdist.TransformedDistribution, TransformedMixin):
    """Distribution of a function of a random variable.

    Args:
        base_distribution: distribution of the variable.
        transforms: an invertible transform or a list of them, applied first to last.

    Example:
        >>> import torch
        >>> from pyroxene.distributions import Normal, transforms
        >>> d = TransformedDistribution(Normal(0.0, 1.0), [transforms.ExpTransform()])
        >>> d.log_prob(torch.tensor(1.0))
        tensor(-0.9189)
    """
