"""Gammas drawn by Marsaglia and Tsang's rejection sampler, for tests of gradients through a rejection sampler.

Naesseth, Ruiz, Linderman and Blei (2017) show that the correction for acceptance shrinks as the concentration grows,
and that a small concentration can be raised: Gamma(a) is Gamma(a + 1) times U^(1/a). The `ShapeAugmented` classes do.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.rejector import Rejector
from pyroxene.distributions.score_parts import ScoreParts
from pyroxene.distributions.torch import Beta, Dirichlet, Gamma
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.errors import UnsupportedError, UsageError

__all__ = [
    "RejectionGamma",
    "RejectionStandardGamma",
    "ShapeAugmentedBeta",
    "ShapeAugmentedDirichlet",
    "ShapeAugmentedGamma",
]

_HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class _CubedNormal(TorchDistribution):
    """The proposal: d (1 + z / sqrt(9 d))^3 with z standard normal; negative values are never accepted.

    Args:
        d: concentration - 1/3, positive, shape batch_shape.
    """

    arg_constraints = {"d": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, d: torch.Tensor) -> None:
        self.d = d
        super().__init__(d.shape, EMPTY, validate_args=False)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a value that carries the gradient by d."""
        z = torch.randn(self.shape(sample_shape), dtype=self.d.dtype, device=self.d.device)
        return self.d * (1 + z / (9 * self.d).sqrt()) ** 3

    def normal(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the normal variable and the cube root it gave; where x is not positive, those of a tiny x."""
        root = (x.clamp(min=torch.finfo(x.dtype).tiny) / self.d) ** (1 / 3)
        return (root - 1) * (9 * self.d).sqrt(), root

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log density of positive values."""
        z, root = self.normal(x)
        return -0.5 * z**2 - _HALF_LOG_TWO_PI - 0.5 * self.d.log() - 2 * root.log()


class RejectionStandardGamma(Rejector):
    """Gamma distribution with rate 1, drawn by rejection from the cube of a normal variable.

    With d = concentration - 1/3, v = x / d and z the normal variable, a proposal is accepted with probability
    exp(z^2/2 + d - d v + d log v).

    Args:
        concentration: shape parameter, at least 1, shape batch_shape.

    Raises:
        UnsupportedError: a concentration is below 1.

    Source: Marsaglia and Tsang (2000), A simple method for generating gamma variables.

    Example:
        >>> from pyroxene.distributions import Gamma
        >>> x = torch.tensor(0.7)
        >>> d = RejectionStandardGamma(torch.tensor(2.0))
        >>> bool(torch.isclose(d.log_prob(x), Gamma(2.0, 1.0).log_prob(x)))
        True
    """

    arg_constraints = {"concentration": constraints.greater_than_eq(1.0)}
    support = constraints.positive

    def __init__(self, concentration: torch.Tensor) -> None:
        if bool((concentration < 1).any()):
            raise UnsupportedError(
                "concentration < 1 is not supported", got=concentration, hint="ShapeAugmentedGamma raises it first"
            )
        self.concentration = concentration
        self._d = d = concentration - 1 / 3
        log_scale = concentration.lgamma() + d - (d - 1 / 6) * d.log() - _HALF_LOG_TWO_PI
        super().__init__(_CubedNormal(d), self.log_prob_accept, log_scale)

    def expand(self, batch_shape: Size, _instance: Any = None) -> RejectionStandardGamma:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        RejectionStandardGamma.__init__(new, self.concentration.expand(torch.Size(batch_shape)))
        return new

    def log_prob_accept(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log probability that a proposed value is kept; -inf where it is negative."""
        z, root = self.propose.normal(x)
        log_accept = 0.5 * z**2 + self._d * (1 - root**3 + 3 * root.log())
        return torch.where(x > 0, log_accept, -torch.inf)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Return the gamma's log density."""
        return (self.concentration - 1) * x.log() - x - self.concentration.lgamma()


class RejectionGamma(Gamma):
    """Gamma distribution drawn by rejection.

    Args:
        concentration: shape parameter, at least 1, shape batch_shape.
        rate: inverse scale, positive, shape batch_shape.

    Raises:
        UnsupportedError: a concentration is below 1.

    Example:
        >>> RejectionGamma(torch.tensor([1.0, 2.0]), torch.tensor(1.0)).rsample().shape
        torch.Size([2])
    """

    has_rsample = True

    def __init__(
        self, concentration: torch.Tensor | float, rate: torch.Tensor | float, validate_args: bool | None = None
    ) -> None:
        super().__init__(concentration, rate, validate_args=validate_args)
        self._standard_gamma = RejectionStandardGamma(self.concentration)

    def expand(self, batch_shape: Size, _instance: Any = None) -> RejectionGamma:
        """Return the distribution with a larger batch shape."""
        new = super().expand(torch.Size(batch_shape), self.__new__(type(self)) if _instance is None else _instance)
        new._standard_gamma = self._standard_gamma.expand(torch.Size(batch_shape))
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample with the gradient of the proposal."""
        return self._standard_gamma.rsample(sample_shape) / self.rate

    def score_parts(self, x: torch.Tensor) -> ScoreParts:
        """Return the parts of a gradient estimate; see `Rejector.score_parts`."""
        log_prob = self.log_prob(x)
        return ScoreParts(log_prob, self._standard_gamma.score_parts(x * self.rate).score_function, log_prob)


class ShapeAugmentedGamma(Gamma):
    """Gamma distribution drawn as one of higher concentration times powers of uniform variables.

    A sample is y U_0^(1/a) U_1^(1/(a+1)) ... with y from RejectionGamma(a + boost, rate).

    Args:
        concentration: shape parameter a, positive, shape batch_shape.
        rate: inverse scale, positive, shape batch_shape.
        boost: by how much the concentration is raised, a positive integer; a + boost must be at least 1.

    Source: Naesseth, Ruiz, Linderman and Blei (2017), section 4.

    Example:
        >>> ShapeAugmentedGamma(torch.tensor([0.1, 2.0]), torch.tensor(1.0), boost=2).rsample().shape
        torch.Size([2])
    """

    has_rsample = True

    def __init__(
        self,
        concentration: torch.Tensor | float,
        rate: torch.Tensor | float,
        boost: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(boost, int) or boost < 1:
            raise UsageError("boost must be a positive integer", got=boost)
        super().__init__(concentration, rate, validate_args=validate_args)
        self._boost = boost
        self._rejection_gamma = RejectionGamma(self.concentration + boost, self.rate)
        self._drawn: tuple[torch.Tensor, torch.Tensor] | None = None

    def expand(self, batch_shape: Size, _instance: Any = None) -> ShapeAugmentedGamma:
        """Return the distribution with a larger batch shape."""
        new = super().expand(torch.Size(batch_shape), self.__new__(type(self)) if _instance is None else _instance)
        new._boost = self._boost
        new._rejection_gamma = self._rejection_gamma.expand(torch.Size(batch_shape))
        new._drawn = None
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample with the gradients of the proposal and of the powers."""
        boosted = self._rejection_gamma.rsample(sample_shape)
        raised = self.concentration.unsqueeze(-1) + torch.arange(self._boost, dtype=self.concentration.dtype)
        uniform = torch.rand((*boosted.shape, self._boost), dtype=boosted.dtype, device=boosted.device)
        log_factor = (uniform.clamp(min=torch.finfo(uniform.dtype).tiny).log() / raised).sum(-1)
        sample = boosted * log_factor.exp()
        self._drawn = sample, boosted
        return sample

    def score_parts(self, boosted_x: torch.Tensor | None = None) -> ScoreParts:
        """Return the parts of a gradient estimate at the last sample drawn.

        Args:
            boosted_x: the sample; None for the last.

        Raises:
            UsageError: it is not the last sample, so the higher gamma that it came from is not known.
        """
        if self._drawn is None or (boosted_x is not None and boosted_x is not self._drawn[0]):
            raise UsageError(
                "score_parts needs the sample that was drawn last",
                hint="call rsample and hand on its very result",
            )
        sample, boosted = self._drawn
        log_prob = self.log_prob(sample)
        return ScoreParts(log_prob, self._rejection_gamma.score_parts(boosted).score_function, log_prob)


class ShapeAugmentedDirichlet(Dirichlet):
    """Dirichlet distribution drawn as `ShapeAugmentedGamma`s divided by their sum.

    Args:
        concentration: weight of each part, positive, shape (*batch_shape, num_parts).
        boost: by how much each gamma's concentration is raised, a positive integer.

    Example:
        >>> bool(torch.isclose(ShapeAugmentedDirichlet(torch.ones(3)).rsample().sum(), torch.tensor(1.0)))
        True
    """

    def __init__(self, concentration: torch.Tensor, boost: int = 1, validate_args: bool | None = None) -> None:
        super().__init__(concentration, validate_args=validate_args)
        self._gamma = ShapeAugmentedGamma(concentration, torch.ones_like(concentration), boost)

    def expand(self, batch_shape: Size, _instance: Any = None) -> ShapeAugmentedDirichlet:
        """Return the distribution with a larger batch shape."""
        new = super().expand(torch.Size(batch_shape), self.__new__(type(self)) if _instance is None else _instance)
        new._gamma = self._gamma.expand(torch.Size(batch_shape) + self._event_shape)
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw gammas and normalise them, (*sample_shape, *batch_shape, num_parts)."""
        gammas = self._gamma.rsample(sample_shape)
        return gammas / gammas.sum(-1, keepdim=True)


class ShapeAugmentedBeta(Beta):
    """Beta distribution drawn as one `ShapeAugmentedGamma`'s share of two.

    Args:
        concentration1: weight towards 1, positive, shape batch_shape.
        concentration0: weight towards 0, positive, shape batch_shape.
        boost: by how much each gamma's concentration is raised, a positive integer.

    Example:
        >>> sample = ShapeAugmentedBeta(torch.tensor(0.5), torch.tensor(2.0)).rsample()
        >>> bool((0 <= sample) & (sample <= 1))
        True
    """

    def __init__(
        self,
        concentration1: torch.Tensor | float,
        concentration0: torch.Tensor | float,
        boost: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(concentration1, concentration0, validate_args=validate_args)
        self._boost = boost

    def expand(self, batch_shape: Size, _instance: Any = None) -> ShapeAugmentedBeta:
        """Return the distribution with a larger batch shape."""
        new = super().expand(torch.Size(batch_shape), self.__new__(type(self)) if _instance is None else _instance)
        new._boost = self._boost
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw two gammas and return the first one's share, (*sample_shape, *batch_shape)."""
        pair = torch.stack([self.concentration1, self.concentration0], -1)
        return ShapeAugmentedDirichlet(pair, self._boost).rsample(sample_shape)[..., 0]
