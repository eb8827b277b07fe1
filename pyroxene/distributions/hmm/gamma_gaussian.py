"""GammaGaussianHMM: a linear dynamical system whose noise has one unknown scale, so that series have heavy tails."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions import constraints
from pyroxene.distributions.hmm import chain
from pyroxene.distributions.hmm.base import HiddenMarkovModel
from pyroxene.distributions.hmm.gaussian import check_linear
from pyroxene.distributions.torch import Gamma, MultivariateNormal
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import UsageError
from pyroxene.ops.gamma_gaussian import (
    GammaGaussian,
    gamma_and_mvn_to_gamma_gaussian,
    gamma_gaussian_tensordot,
    matrix_and_mvn_to_gamma_gaussian,
)
from pyroxene.ops.gaussian import Gaussian
from pyroxene.ops.parallel_scan import Elements, product

__all__ = ["GammaGaussianHMM"]


def _sequential_gamma_gaussian_tensordot(gamma_gaussian: GammaGaussian) -> GammaGaussian:
    """Multiply functions of neighbouring states and the scale, and integrate out the states between first and last.

    Args:
        gamma_gaussian: element t of the rightmost batch dimension is a function of (z[t], z[t + 1], s).

    Returns:
        A function of (z[0], z[T], s), its batch shape one dimension shorter. The depth is logarithmic in T.
    """
    size = gamma_gaussian.dim() // 2

    def elements(g: GammaGaussian) -> Elements:
        g = g.expand(g.batch_shape)
        return g.log_normalizer, g.info_vec, g.precision, g.alpha, g.beta

    def combine(x: Elements, y: Elements) -> Elements:
        return elements(gamma_gaussian_tensordot(GammaGaussian(*x), GammaGaussian(*y), size))

    return GammaGaussian(*product(combine, elements(gamma_gaussian), (-1, -2, -3, -1, -1)))


class GammaGaussianHMM(HiddenMarkovModel):
    """Distribution of the observations of a linear dynamical system whose covariances are divided by a gamma variable.

    s ~ scale_dist, and given s all is as in `GaussianHMM`, but that s divides the covariance of initial_dist, of
    transition_dist and of observation_dist; their means stay. p(x) = ∫ p(s) ∫ p(z[0] | s) Π p(z[t] | z[t - 1], s)
    p(x[t] | z[t], s) dz ds. With scale_dist = Gamma(df / 2, df / 2) series have a multivariate Student's t distribution
    with df degrees of freedom. The density takes a number of steps logarithmic in T.

    The batch shapes of the parameters broadcast; their rightmost dimension is time (not so for scale_dist and
    initial_dist), of size 1, T, or left out.

    Args:
        scale_dist: distribution of s, a `Gamma`, shape batch_shape.
        initial_dist: distribution of z[0] at s = 1, a `MultivariateNormal` or `Normal(...).to_event(1)`, event shape
            (H,).
        transition_matrix: shape (..., H, H); states are rows.
        transition_dist: distribution of the noise of transitions at s = 1, of the same kinds, event shape (H,).
        observation_matrix: shape (..., H, D).
        observation_dist: distribution of the noise of observations at s = 1, of the same kinds, event shape (D,).
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.
        duration: T, for parameters without a time axis; needed to sample, not to score.

    Support: real matrices of shape (T, D). The joint distribution is a Student's t where scale_dist is as above.

    Raises:
        ShapeError: sizes differ, or batch shapes do not broadcast.
        UsageError: a distribution is not of the kinds above.

    Source: M. West and J. Harrison (1997), Bayesian Forecasting and Dynamic Models, section 4.5.

    Example:
        >>> from pyroxene.distributions import Gamma, Normal
        >>> noise = Normal(torch.zeros(1), 1.0).to_event(1)
        >>> d = GammaGaussianHMM(Gamma(2.0, 2.0), noise, torch.eye(1), noise, torch.eye(1), noise, duration=3)
        >>> d.log_prob(torch.zeros(3, 1))
        tensor(-4.1178)
    """

    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(
        self,
        scale_dist: Any,
        initial_dist: Any,
        transition_matrix: torch.Tensor,
        transition_dist: Any,
        observation_matrix: torch.Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        if not isinstance(scale_dist, torchdist.Gamma):
            raise UsageError("scale_dist is another distribution", expected="a Gamma", got=scale_dist)
        batch_shape, event_shape = check_linear(
            initial_dist, transition_matrix, transition_dist, observation_matrix, observation_dist
        )
        batch_shape = torch.Size(broadcast_shape(batch_shape, scale_dist.batch_shape))
        super().__init__(duration, batch_shape, event_shape, validate_args=validate_args)
        self.hidden_dim, self.obs_dim = observation_matrix.shape[-2:]
        self._scale_dist = scale_dist.expand(batch_shape)
        self._init = gamma_and_mvn_to_gamma_gaussian(scale_dist, initial_dist).expand(batch_shape)
        self._trans = matrix_and_mvn_to_gamma_gaussian(transition_matrix, transition_dist)
        self._obs = matrix_and_mvn_to_gamma_gaussian(observation_matrix, observation_dist)

    def expand(self, batch_shape: Size, _instance: Any = None) -> GammaGaussianHMM:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(GammaGaussianHMM, _instance)
        batch_shape = torch.Size(batch_shape)
        new.hidden_dim, new.obs_dim = self.hidden_dim, self.obs_dim
        new._scale_dist = self._scale_dist.expand(batch_shape)
        new._init = self._init.expand(batch_shape)  # the others broadcast with it
        new._trans, new._obs = self._trans, self._obs
        HiddenMarkovModel.__init__(new, self._duration, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _last(self, value: torch.Tensor) -> GammaGaussian:
        """The function of the last state and the scale that is left when all earlier states are integrated out."""
        steps = self._trans + self._obs.condition(value).event_pad(left=self.hidden_dim)
        steps = steps.expand(steps.batch_shape[:-1] + value.shape[-2:-1])
        return gamma_gaussian_tensordot(self._init, _sequential_gamma_gaussian_tensordot(steps), self.hidden_dim)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., T, D)."""
        if self._validate_args:
            self._validate_sample(value)
        return self._last(value).event_logsumexp().logsumexp()

    def filter(self, value: torch.Tensor) -> tuple[Gamma, MultivariateNormal]:
        """Return the distributions of the scale and of the last state given observations.

        Args:
            value: observed series, shape (..., T, D).

        Returns:
            (distribution of s, distribution of z[T] at s = 1): a scale_dist and an initial_dist from which to go on.
        """
        if self._validate_args:
            self._validate_sample(value)
        last = self._last(value)
        over_s = last.event_logsumexp()
        scale = Gamma(over_s.concentration, over_s.rate, validate_args=self._validate_args)
        at_one = Gaussian(last.log_normalizer, last.info_vec, last.precision)
        return scale, chain.to_normal(at_one.expand(last.batch_shape), self._validate_args)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series; gradients reach all parameters.

        Raises:
            UsageError: a homogeneous model was not told its duration.
        """
        steps, sample_shape = self.require_duration(), torch.Size(sample_shape)
        init, trans, obs = (
            Gaussian(g.log_normalizer, g.info_vec, g.precision) for g in (self._init, self._trans, self._obs)
        )
        system = chain.unseen(trans, obs, steps)
        shape = sample_shape + self._batch_shape
        noise = torch.randn(
            shape + (steps, self.obs_dim), dtype=self._init.info_vec.dtype, device=self._init.info_vec.device
        )
        states = chain.draw_states(init, system, sample_shape, self._batch_shape)
        centre = chain.mean_states(init, system, self._batch_shape)
        spread = self._scale_dist.rsample(sample_shape).rsqrt()[..., None, None]
        moved = centre + (states - centre) * spread
        return obs.left_condition(moved).rsample((), noise * spread)
