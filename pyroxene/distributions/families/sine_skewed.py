"""SineSkewed: skewed versions of symmetric distributions of angles."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError

__all__ = ["SineSkewed"]


class SineSkewed(TorchDistribution):
    """A distribution of angles on a torus, skewed by sines.

    Where f is the base density, symmetric around its mean m, the density is f(x) (1 + sum_i s_i sin(x_i - m_i)). The
    sizes of the skewness s must add up to 1 at most, so that it is nowhere negative. The support is the base's, of
    period 2 pi; samples lie between -pi and pi. A positive s_i moves mass beyond m_i.

    Args:
        base_dist: a distribution of a vector of angles, symmetric around its `mean`: `SineBivariateVonMises`, or
            `VonMises(...).to_event(1)`; event shape (dim,).
        skewness: s, each entry between -1 and 1, shape (*batch_shape, dim).
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: an event is not a vector of angles, or the sizes of a skewness add up to more than 1.

    Source: Ameijeiras-Alonso and Ley (2021), Sine-skewed toroidal distributions and their application in protein
    bioinformatics, equation 3.

    Example:
        >>> from pyroxene.distributions import VonMises
        >>> base = VonMises(torch.zeros(2), 1.0).to_event(1)
        >>> d, x = SineSkewed(base, torch.tensor([0.5, 0.0])), torch.tensor([math.pi / 2, 0.0])
        >>> (d.log_prob(x) - base.log_prob(x)).exp()
        tensor(1.5000)
    """

    arg_constraints = {"skewness": constraints.independent(constraints.interval(-1.0, 1.0), 1)}

    def __init__(self, base_dist: Any, skewness: torch.Tensor, validate_args: bool | None = None) -> None:
        if len(base_dist.event_shape) != 1 or skewness.shape[-1:] != base_dist.event_shape:
            raise ParameterError(
                "base_dist and skewness must be of vectors of one length",
                expected="event_shape (dim,) and skewness (..., dim)",
                got=f"event_shape {tuple(base_dist.event_shape)}, skewness {tuple(skewness.shape)}",
                hint="call to_event(1) on a distribution of one angle",
            )
        batch_shape = torch.Size(broadcast_shape(base_dist.batch_shape, skewness.shape[:-1]))
        self.base_dist = base_dist.expand(batch_shape) if base_dist.batch_shape != batch_shape else base_dist
        self.skewness = skewness.expand(batch_shape + base_dist.event_shape)
        super().__init__(batch_shape, base_dist.event_shape, validate_args=validate_args)
        if self._validate_args:
            total = self.skewness.detach().abs().sum(-1)
            if not bool((total <= 1 + 10 * torch.finfo(total.dtype).eps).all()):
                raise ParameterError(
                    "the sizes of a skewness add up to more than 1",
                    expected="skewness.abs().sum(-1) <= 1",
                    got=f"{float(total.max())}",
                    hint="divide by the number of angles, or draw from an l1 ball",
                )

    @constraints.dependent_property(event_dim=1)
    def support(self) -> constraints.Constraint:
        """The base distribution's support."""
        return self.base_dist.support

    def expand(self, batch_shape: Size, _instance: Any = None) -> SineSkewed:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        base = self.base_dist.expand(torch.Size(batch_shape))
        SineSkewed.__init__(new, base, self.skewness, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _center(self) -> torch.Tensor:
        """The point around which the base is symmetric."""
        return self.base_dist.mean

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of vectors of angles, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        tilt = (self.skewness * torch.sin(value - self._center())).sum(-1)
        return self.base_dist.log_prob(value) + torch.log1p(tilt)

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw from the base and mirror what goes against the skew, (*sample_shape, *batch_shape, dim)."""
        value, center = self.base_dist.sample(torch.Size(sample_shape)), self._center()
        tilt = (self.skewness * torch.sin(value - center)).sum(-1, keepdim=True)
        keep = 2 * torch.rand_like(tilt) < 1 + tilt
        mirrored = torch.where(keep, value, 2 * center - value)
        return torch.remainder(mirrored + math.pi, 2 * math.pi) - math.pi
