"""Dirichlet and Beta drawn as normalised gammas, for tests of gradients against the direct samplers."""

from __future__ import annotations

import torch

from pyroxene.distributions.torch import Beta, Dirichlet, Gamma
from pyroxene.distributions.torch_distribution import EMPTY, Size

__all__ = ["NaiveBeta", "NaiveDirichlet"]


class NaiveDirichlet(Dirichlet):
    """Dirichlet distribution whose samples are gammas divided by their sum, gradients included.

    Args:
        concentration: weight of each part, positive, shape (*batch_shape, num_parts).

    Example:
        >>> d = NaiveDirichlet(torch.tensor([1.0, 2.0, 3.0]))
        >>> bool(torch.isclose(d.rsample().sum(), torch.tensor(1.0)))
        True
    """

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw independent gammas and normalise them, (*sample_shape, *batch_shape, num_parts)."""
        gammas = Gamma(self.concentration, torch.ones_like(self.concentration)).rsample(torch.Size(sample_shape))
        return gammas / gammas.sum(-1, keepdim=True)


class NaiveBeta(Beta):
    """Beta distribution whose samples are one gamma's share of two, gradients included.

    Args:
        concentration1: weight towards 1, positive, shape batch_shape.
        concentration0: weight towards 0, positive, shape batch_shape.

    Example:
        >>> sample = NaiveBeta(torch.tensor(1.0), torch.tensor(2.0)).rsample()
        >>> bool((0 < sample) & (sample < 1))
        True
    """

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw two gammas and return the first one's share, (*sample_shape, *batch_shape)."""
        pair = torch.stack([self.concentration1, self.concentration0], -1)
        return NaiveDirichlet(pair).rsample(sample_shape)[..., 0]
