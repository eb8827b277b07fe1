"""GaussianHMM: a linear dynamical system with normal noise, that is, a Kalman filter as a distribution."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.hmm import chain
from pyroxene.distributions.hmm.base import HiddenMarkovModel, batch_and_time, require_vectors, slice_time
from pyroxene.distributions.torch import MultivariateNormal
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ShapeError, UsageError
from pyroxene.ops.gaussian import matrix_and_mvn_to_gaussian, mvn_to_gaussian

__all__ = ["GaussianHMM", "check_linear"]


def check_linear(
    initial_dist: Any, transition_matrix: Any, transition_dist: Any, observation_matrix: Any, observation_dist: Any
) -> tuple[torch.Size, torch.Size]:
    """Check the parts of a linear system and return its batch shape and (T, D).

    Raises:
        ShapeError: sizes differ, or batch shapes do not broadcast.
    """
    if observation_matrix.dim() < 2 or transition_matrix.shape[-2:] != observation_matrix.shape[-2:-1] * 2:
        raise ShapeError(
            "the matrices do not fit each other",
            expected="transition_matrix of shape (..., H, H) and observation_matrix of shape (..., H, D)",
            got=f"{tuple(transition_matrix.shape)} and {tuple(observation_matrix.shape)}",
            hint="states are rows: z @ matrix",
        )
    hidden, seen = observation_matrix.shape[-2:]
    require_vectors("initial_dist", initial_dist, hidden)
    require_vectors("transition_dist", transition_dist, hidden)
    require_vectors("observation_dist", observation_dist, seen)
    batch_shape, time_shape = batch_and_time(
        initial_dist.batch_shape,
        transition_matrix.shape[:-2],
        transition_dist.batch_shape,
        observation_matrix.shape[:-2],
        observation_dist.batch_shape,
    )
    return batch_shape, time_shape + (seen,)


class GaussianHMM(HiddenMarkovModel):
    """Distribution of the observations x[1], ..., x[T] of a linear dynamical system with normal noise.

    z[0] ~ initial_dist, z[t] = z[t - 1] @ transition_matrix + noise ~ transition_dist and
    x[t] = z[t] @ observation_matrix + noise ~ observation_dist; the states z are integrated out, so that
    p(x) = ∫ p(z[0]) Π p(z[t] | z[t - 1]) p(x[t] | z[t]) dz. The density takes a number of steps logarithmic in T.

    The initial state precedes the first transition. An event is a series of shape (T, D). The batch shapes of the
    parameters broadcast; their rightmost dimension is time (not so for initial_dist), of size 1, T, or left out.

    Args:
        initial_dist: distribution of z[0], a `MultivariateNormal` or `Normal(...).to_event(1)`, event shape (H,).
        transition_matrix: shape (..., H, H); states are rows.
        transition_dist: distribution of the noise of transitions, of the same kinds, event shape (H,).
        observation_matrix: shape (..., H, D).
        observation_dist: distribution of the noise of observations, of the same kinds, event shape (D,).
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.
        duration: T, for parameters without a time axis; needed to sample, not to score.

    Support: real matrices of shape (T, D). The joint distribution is normal.

    Raises:
        ShapeError: sizes differ, or batch shapes do not broadcast.
        UsageError: a distribution is not of the kinds above.

    Source: R. E. Kalman (1960), A New Approach to Linear Filtering and Prediction Problems; S. Särkkä and
    Á. F. García-Fernández (2021), Temporal Parallelization of Bayesian Smoothers.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> noise = Normal(torch.zeros(1), 1.0).to_event(1)
        >>> d = GaussianHMM(noise, torch.eye(1), noise, torch.eye(1), noise, duration=10)
        >>> d.event_shape, d.log_prob(torch.zeros(10, 1))
        (torch.Size([10, 1]), tensor(-14.0804))
    """

    support = constraints.independent(constraints.real, 2)
    has_rsample = True

    def __init__(
        self,
        initial_dist: Any,
        transition_matrix: torch.Tensor,
        transition_dist: Any,
        observation_matrix: torch.Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        batch_shape, event_shape = check_linear(
            initial_dist, transition_matrix, transition_dist, observation_matrix, observation_dist
        )
        super().__init__(duration, batch_shape, event_shape, validate_args=validate_args)
        self.hidden_dim, self.obs_dim = observation_matrix.shape[-2:]
        self._init = mvn_to_gaussian(initial_dist).expand(self._batch_shape)
        trans: Any = matrix_and_mvn_to_gaussian(transition_matrix, transition_dist)
        self._trans = trans + 0.0  # a Gaussian of both states, also where the noise is independent
        self._obs = matrix_and_mvn_to_gaussian(observation_matrix, observation_dist)

    def expand(self, batch_shape: Size, _instance: Any = None) -> GaussianHMM:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(GaussianHMM, _instance)
        batch_shape = torch.Size(batch_shape)
        new.hidden_dim, new.obs_dim = self.hidden_dim, self.obs_dim
        new._init = self._init.expand(batch_shape)  # the others broadcast with it
        new._trans, new._obs = self._trans, self._obs
        HiddenMarkovModel.__init__(new, self._duration, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., T, D)."""
        if self._validate_args:
            self._validate_sample(value)
        return chain.last_state(self._init, chain.seen(self._trans, self._obs, value)).event_logsumexp()

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series; gradients reach all parameters.

        Raises:
            UsageError: a homogeneous model was not told its duration.
        """
        return chain.draw_observations(
            self._init, self._trans, self._obs, self.require_duration(), sample_shape, self._batch_shape
        )

    def rsample_posterior(self, value: torch.Tensor, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw the hidden states given observations.

        Args:
            value: observed series, shape (..., T, D), broadcasting with batch_shape.
            sample_shape: how many independent draws.

        Returns:
            z[1], ..., z[T], shape (*sample_shape, *batch_shape, T, H); differentiable.
        """
        batch_shape = torch.Size(broadcast_shape(value.shape[:-2], self._batch_shape))
        return chain.draw_states(self._init, chain.seen(self._trans, self._obs, value), sample_shape, batch_shape)

    def filter(self, value: torch.Tensor) -> MultivariateNormal:
        """Return the distribution of the last state given observations.

        Args:
            value: observed series, shape (..., T, D).

        Returns:
            Distribution of z[T], event shape (H,): an initial_dist from which to go on.
        """
        if self._validate_args:
            self._validate_sample(value)
        last = chain.last_state(self._init, chain.seen(self._trans, self._obs, value))
        return chain.to_normal(last, self._validate_args)

    def conjugate_update(self, other: Any) -> tuple[GaussianHMM, torch.Tensor]:
        """Multiply by a normal density of the series with independent time steps.

        Args:
            other: a `Normal(...).to_event(2)` or `MultivariateNormal(...).to_event(1)`, event shape (T, D).

        Returns:
            (updated, log_normalizer); see `Distribution.conjugate_update`.

        Raises:
            UsageError: it is another distribution, or not one of series.
        """
        if other.event_dim != 2 or self._duration not in (None, other.event_shape[0]):
            raise UsageError(
                "not a density of the same series",
                expected=f"event_shape {tuple(self._event_shape)}",
                got=f"event_shape {tuple(other.event_shape)}",
                hint="call .to_event(2) on a Normal, .to_event(1) on a MultivariateNormal",
            )
        factor = mvn_to_gaussian(other.to_event(-1)).event_pad(left=self.hidden_dim)
        new = self.expand(torch.Size(broadcast_shape(self._batch_shape, other.batch_shape)))
        new._duration = other.event_shape[0]
        new._event_shape = torch.Size(other.event_shape)
        new._obs = self._obs + factor
        log_normalizer = new._log_total()
        new._init = new._init - log_normalizer
        return new, log_normalizer

    def prefix_condition(self, data: torch.Tensor) -> GaussianHMM:
        """Return the distribution of the rest of a series given its beginning.

        Args:
            data: the first S steps, shape (..., S, D), S less than `duration`.

        Returns:
            The distribution of the other T - S steps.

        Raises:
            UsageError: nothing is left, or the duration is not known.
        """
        steps, duration = data.shape[-2], self.require_duration()
        if steps >= duration:
            raise UsageError("nothing is left of the series", expected=f"fewer than {duration} steps", got=steps)
        beginning, rest = slice(steps), slice(steps, None)
        middle = chain.last_state(
            self._init, chain.seen(slice_time(self._trans, beginning), slice_time(self._obs, beginning), data)
        )
        new = self.expand(torch.Size(broadcast_shape(self._batch_shape, data.shape[:-2])))
        new._duration = duration - steps
        new._event_shape = torch.Size((duration - steps, self.obs_dim))
        new._trans, new._obs = slice_time(self._trans, rest), slice_time(self._obs, rest)
        new._init = middle.expand(new._batch_shape)
        new._init = new._init - new._log_total()
        return new

    def _log_total(self) -> torch.Tensor:
        """Log of the integral over all states and observations: zero but where factors were multiplied in."""
        steps = chain.unseen(self._trans, self._obs, self.require_duration())
        return chain.last_state(self._init, steps).event_logsumexp()
