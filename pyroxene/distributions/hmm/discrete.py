"""DiscreteHMM: a hidden Markov model over finitely many states, with any distribution of observations."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.hmm.base import HiddenMarkovModel, batch_and_time
from pyroxene.distributions.torch import Categorical
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.errors import ShapeError
from pyroxene.ops.parallel_scan import Elements, prefix_products, product

__all__ = ["DiscreteHMM"]

_FEW_STATES = 8
"""Up to so many states a product is a log of sums of exponentials, exact but with S^3 intermediate numbers. Beyond, it
is a matrix product of exponentials in float64, scaled by row and by column, in which a sum counts as zero where each of
its terms lies some 700 nats below the largest entries of its row and column."""


def _peak(x: torch.Tensor, dim: int) -> torch.Tensor:
    """The largest entries along a dimension, zero where all are logs of zero; a constant to the gradient."""
    largest = x.detach().amax(dim, keepdim=True)
    return torch.where(largest == -torch.inf, 0.0, largest)


def _log(total: torch.Tensor) -> torch.Tensor:
    """Log of sums of which some are zero; these pass no gradient on."""
    is_zero = total == 0
    return torch.where(is_zero, -torch.inf, torch.where(is_zero, 1.0, total).log())


def _logsumexp(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Log of a sum of exponentials, with gradient zero (torch's is nan) where all of them are zero."""
    peak = _peak(x, dim)
    return _log((x - peak).exp().sum(dim)) + peak.squeeze(dim)


def _logmatmulexp(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Log of the matrix product of exponentials."""
    if x.size(-1) <= _FEW_STATES:
        return _logsumexp(x.unsqueeze(-1) + y.unsqueeze(-3), -2)
    wide, other = x.double(), y.double()
    row, column = _peak(wide, -1), _peak(other, -2)
    return (_log((wide - row).exp() @ (other - column).exp()) + row + column).to(x.dtype)


def _sequential_logmatmulexp(logits: torch.Tensor) -> torch.Tensor:
    """Return the log of a product of matrices along time, each given by the logs of its entries.

    Args:
        logits: shape (..., T, S, S).

    Returns:
        Shape (..., S, S). The depth is logarithmic in T.
    """
    return product(lambda x, y: (_logmatmulexp(x[0], y[0]),), (logits,), (-3,))[0]


class DiscreteHMM(HiddenMarkovModel):
    """Distribution of the observations x[1], ..., x[T] of a hidden Markov model with S states.

    z[0] ~ Categorical(initial_logits), z[t] ~ Categorical(transition_logits[z[t - 1]]) and x[t] ~ observation_dist at
    z[t]; the states z are summed out, so that p(x) = Σ p(z[0]) Π p(z[t] | z[t - 1]) p(x[t] | z[t]). The density takes a
    number of steps logarithmic in T.

    The initial state precedes the first transition. An event is a series of shape (T, *obs_shape), where obs_shape is
    the event shape of observation_dist. The batch shapes of the parameters broadcast; their rightmost dimension is
    time (not so for initial_logits), of size 1, T, or left out.

    Args:
        initial_logits: log weights of the initial states, shape (..., S); normalised.
        transition_logits: log weights of the next state for each state, shape (..., S, S); each row is normalised.
        observation_dist: distribution of an observation, the rightmost dimension of its batch shape being the state,
            of size S or 1, the one before it time.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.
        duration: T, for parameters without a time axis; needed to sample, not to score.

    Support: series whose entries lie in the support of observation_dist.

    Raises:
        ShapeError: sizes differ, or batch shapes do not broadcast.

    Source: L. R. Rabiner (1989), A Tutorial on Hidden Markov Models, equation 13; S. Hassan, S. Särkkä and
    Á. F. García-Fernández (2021), Temporal Parallelization of Inference in Hidden Markov Models.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> d = DiscreteHMM(torch.zeros(2), torch.eye(2), Normal(torch.tensor([-1.0, 1.0]), 1.0), duration=3)
        >>> d.event_shape, d.log_prob(torch.zeros(3))
        (torch.Size([3]), tensor(-4.2568))
    """

    arg_constraints = {
        "initial_logits": constraints.independent(constraints.real, 1),
        "transition_logits": constraints.independent(constraints.real, 2),
    }

    def __init__(
        self,
        initial_logits: torch.Tensor,
        transition_logits: torch.Tensor,
        observation_dist: Any,
        validate_args: bool | None = None,
        duration: int | None = None,
    ) -> None:
        size = initial_logits.shape[-1:]
        if (
            not size
            or transition_logits.shape[-2:] != size * 2
            or observation_dist.batch_shape[-1:] not in (size, (1,))
        ):
            raise ShapeError(
                "the parameters differ in their number of states",
                expected="initial_logits (..., S), transition_logits (..., S, S), observations' batch_shape (..., S)",
                got=f"{tuple(initial_logits.shape)}, {tuple(transition_logits.shape)}, "
                f"{tuple(observation_dist.batch_shape)}",
            )
        batch_shape, time_shape = batch_and_time(
            initial_logits.shape[:-1], transition_logits.shape[:-2], observation_dist.batch_shape[:-1]
        )
        self.initial_logits = (initial_logits - initial_logits.logsumexp(-1, True)).expand(batch_shape + size)
        self.transition_logits = transition_logits - transition_logits.logsumexp(-1, True)
        self.observation_dist = observation_dist
        event_shape = time_shape + observation_dist.event_shape
        super().__init__(duration, batch_shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Series of observations, each in the support of observation_dist."""
        return constraints.independent(self.observation_dist.support, 1)

    def expand(self, batch_shape: Size, _instance: Any = None) -> DiscreteHMM:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(DiscreteHMM, _instance)
        batch_shape = torch.Size(batch_shape)
        new.initial_logits = self.initial_logits.expand(batch_shape + self.initial_logits.shape[-1:])
        new.transition_logits, new.observation_dist = self.transition_logits, self.observation_dist
        HiddenMarkovModel.__init__(new, self._duration, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _last_logits(self, value: torch.Tensor) -> torch.Tensor:
        """Log of the joint density of the observations and the last state, shape (..., S)."""
        place = -1 - self.observation_dist.event_dim
        seen = self.observation_dist.log_prob(value.unsqueeze(place))
        size = self.transition_logits.size(-1)
        steps = self.transition_logits + seen.unsqueeze(-2)
        steps = steps.expand(steps.shape[:-3] + (value.shape[place], size, size))
        return _logsumexp(self.initial_logits.unsqueeze(-1) + _sequential_logmatmulexp(steps), -2)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., T, *obs_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        return _logsumexp(self._last_logits(value), -1)

    def filter(self, value: torch.Tensor) -> Categorical:
        """Return the distribution of the last state given observations.

        Args:
            value: observed series, shape (..., T, *obs_shape).

        Returns:
            Distribution of z[T]: its logits are initial_logits from which to go on.
        """
        if self._validate_args:
            self._validate_sample(value)
        return Categorical(logits=self._last_logits(value), validate_args=self._validate_args)

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series, in a depth logarithmic in T: a next state for every state is drawn, and these maps composed.

        Raises:
            UsageError: a homogeneous model was not told its duration.
        """
        steps, size = self.require_duration(), self.initial_logits.size(-1)
        first = Categorical(logits=self.initial_logits, validate_args=False).sample(torch.Size(sample_shape))
        moves = Categorical(logits=self.transition_logits, validate_args=False)
        maps = moves.expand(self._batch_shape + (steps, size)).sample(torch.Size(sample_shape))

        def follow(x: Elements, y: Elements) -> Elements:
            return (y[0].gather(-1, x[0]),)

        from_start = prefix_products(follow, (maps,), (-2,))[0]
        states = from_start.gather(-1, first[..., None, None].expand(from_start.shape[:-1] + (1,)))
        emissions = self.observation_dist.expand(self._batch_shape + (steps, size)).sample(torch.Size(sample_shape))
        obs_shape = self.observation_dist.event_shape
        index = states.reshape(states.shape + (1,) * len(obs_shape))
        return emissions.gather(-1 - len(obs_shape), index.expand(states.shape + obs_shape)).squeeze(
            -1 - len(obs_shape)
        )
