"""GaussianMRF: a chain of normal factors, normalised as a whole, with the hidden states integrated out."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.hmm import chain
from pyroxene.distributions.hmm.base import HiddenMarkovModel, batch_and_time, require_vectors
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.ops.gaussian import mvn_to_gaussian

__all__ = ["GaussianMRF"]


class GaussianMRF(HiddenMarkovModel):
    """Distribution of the observations x[1], ..., x[T] of a Gaussian Markov random field along time.

    p(x) is proportional to ∫ initial(z[0]) Π transition(z[t - 1], z[t]) observation(z[t], x[t]) dz, where each factor
    is a joint density (in `GaussianHMM` they are conditional ones). The density takes a number of steps logarithmic
    in T.

    The batch shapes of the parameters broadcast; the rightmost dimension is time (not so for initial_dist).

    Args:
        initial_dist: factor of z[0], a `MultivariateNormal` or `Normal(...).to_event(1)`, event shape (H,).
        transition_dist: factor of (z[t - 1], z[t]), event shape (2 H,).
        observation_dist: factor of (z[t], x[t]), event shape (H + D,).
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.

    Support: real matrices of shape (T, D). The joint distribution is normal.

    Raises:
        ShapeError: sizes differ, or batch shapes do not broadcast.

    Source: H. Rue and L. Held (2005), Gaussian Markov Random Fields, section 2.2.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> def noise(*shape): return Normal(torch.zeros(shape), 1.0).to_event(1)
        >>> GaussianMRF(noise(1), noise(5, 2), noise(5, 2)).log_prob(torch.zeros(5, 1))
        tensor(-4.5947)
    """

    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(
        self, initial_dist: Any, transition_dist: Any, observation_dist: Any, validate_args: bool | None = None
    ) -> None:
        hidden = sum(initial_dist.event_shape)
        require_vectors("initial_dist", initial_dist, hidden)
        require_vectors("transition_dist", transition_dist, 2 * hidden)
        seen = max(sum(observation_dist.event_shape) - hidden, 1)
        require_vectors("observation_dist", observation_dist, hidden + seen)
        batch_shape, time_shape = batch_and_time(
            initial_dist.batch_shape, transition_dist.batch_shape, observation_dist.batch_shape
        )
        super().__init__(None, batch_shape, time_shape + (seen,), validate_args=validate_args)
        self.hidden_dim, self.obs_dim = hidden, seen
        self._init = mvn_to_gaussian(initial_dist).expand(batch_shape)
        self._trans = mvn_to_gaussian(transition_dist)
        self._obs = mvn_to_gaussian(observation_dist)

    def expand(self, batch_shape: Size, _instance: Any = None) -> GaussianMRF:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(GaussianMRF, _instance)
        batch_shape = torch.Size(batch_shape)
        new.hidden_dim, new.obs_dim = self.hidden_dim, self.obs_dim
        new._init = self._init.expand(batch_shape)  # the others broadcast with it
        new._trans, new._obs = self._trans, self._obs
        HiddenMarkovModel.__init__(new, self._duration, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., T, D); a homogeneous field takes any T."""
        if self._validate_args:
            self._validate_sample(value)
        seen = chain.seen(self._trans, self._obs, value)
        unseen = chain.unseen(self._trans, self._obs, value.shape[-2])
        joint = chain.last_state(self._init, seen).event_logsumexp()
        return joint - chain.last_state(self._init, unseen).event_logsumexp()

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series of as many steps as the parameters' time axis has; gradients reach all parameters."""
        return chain.draw_observations(
            self._init, self._trans, self._obs, self._event_shape[0], sample_shape, self._batch_shape
        )
