"""LinearHMM: a linear dynamical system with noise of any distribution, to be sampled from and reparameterised."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions import constraints
from pyroxene.distributions.hmm.base import HiddenMarkovModel
from pyroxene.distributions.hmm.gaussian import GaussianHMM, check_linear
from pyroxene.distributions.torch_distribution import EMPTY, Size
from pyroxene.distributions.util import sum_rightmost
from pyroxene.errors import UnsupportedError
from pyroxene.ops.gaussian.convert import independent_normal
from pyroxene.ops.parallel_scan import Elements, prefix_products

__all__ = ["LinearHMM"]


def _without_transforms(distribution: Any) -> tuple[Any, list[Any]]:
    """Return a distribution of vectors, and the transforms of its values that it was declared with."""
    transforms: list[Any] = []
    event_dim = distribution.event_dim
    while True:
        if isinstance(distribution, torchdist.Independent):
            distribution = distribution.base_dist
        elif isinstance(distribution, torchdist.TransformedDistribution):
            transforms = [*distribution.transforms, *transforms]
            distribution = distribution.base_dist
        else:
            return distribution.to_event(event_dim - distribution.event_dim), transforms


def _draw(distribution: Any, sample_shape: torch.Size) -> torch.Tensor:
    return distribution.rsample(sample_shape) if distribution.has_rsample else distribution.sample(sample_shape)


class LinearHMM(HiddenMarkovModel):
    """Distribution of the observations x[1], ..., x[T] of a linear dynamical system with noise of any kind.

    z[0] ~ initial_dist, z[t] = z[t - 1] @ transition_matrix + noise ~ transition_dist and
    y[t] = z[t] @ observation_matrix + noise ~ observation_dist. Observations x[t] are y[t]; where observation_dist is a
    transformed distribution, the noise is of its base, and x[t] its transforms of y[t].

    The density is that of `GaussianHMM` where all noise is normal, and not known otherwise: reparameterise with
    `LinearHMMReparam`. The initial state precedes the first transition. The batch shapes of the parameters broadcast;
    their rightmost dimension is time (not so for initial_dist), of size 1, T, or left out.

    Args:
        initial_dist: distribution of z[0], event shape (H,).
        transition_matrix: shape (..., H, H); states are rows.
        transition_dist: distribution of the noise of transitions, event shape (H,).
        observation_matrix: shape (..., H, D).
        observation_dist: distribution of the noise of observations, event shape (D,), or such a distribution
            transformed.
        validate_args: whether to check values; None for the setting `validate_distributions_torch`.
        duration: T, for parameters without a time axis.

    Support: real matrices of shape (T, D), or what the transforms make of them.

    Raises:
        ShapeError: sizes differ, or batch shapes do not broadcast.

    Example:
        >>> from pyroxene.distributions import Normal, StudentT
        >>> state, shock = Normal(torch.zeros(2), 1.0).to_event(1), StudentT(3.0, torch.zeros(2), 1.0).to_event(1)
        >>> error = Normal(torch.zeros(1), 1.0).to_event(1)
        >>> LinearHMM(state, torch.eye(2), shock, torch.ones(2, 1), error, duration=5).sample().shape
        torch.Size([5, 1])
    """

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
        self.hidden_dim, self.obs_dim = observation_matrix.shape[-2:]
        self.initial_dist = initial_dist.expand(batch_shape)
        self.transition_matrix = transition_matrix
        self.transition_dist = transition_dist
        self.observation_matrix = observation_matrix
        self.observation_dist, self.transforms = _without_transforms(observation_dist)
        super().__init__(duration, batch_shape, event_shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Real series, or what the transforms make of them."""
        one = self.transforms[-1].codomain if self.transforms else constraints.real
        return constraints.independent(one, 2 - one.event_dim)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples of all three distributions are reparameterised."""
        return all(d.has_rsample for d in (self.initial_dist, self.transition_dist, self.observation_dist))

    def expand(self, batch_shape: Size, _instance: Any = None) -> LinearHMM:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(LinearHMM, _instance)
        batch_shape = torch.Size(batch_shape)
        new.hidden_dim, new.obs_dim = self.hidden_dim, self.obs_dim
        new.initial_dist = self.initial_dist.expand(batch_shape)  # the others broadcast with it
        for name in ("transition_matrix", "transition_dist", "observation_matrix", "observation_dist", "transforms"):
            setattr(new, name, getattr(self, name))
        HiddenMarkovModel.__init__(new, self._duration, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., T, D), where all noise is normal.

        Raises:
            UnsupportedError: it is not.
        """
        if self._validate_args:
            self._validate_sample(value)
        noises = (self.initial_dist, self.transition_dist, self.observation_dist)
        if not all(isinstance(d, torchdist.MultivariateNormal) or independent_normal(d) for d in noises):
            raise UnsupportedError(
                "LinearHMM.log_prob() is not implemented for noise that is not normal",
                got=", ".join(repr(d) for d in noises),
                hint="reparameterise the site with LinearHMMReparam",
            )
        base = GaussianHMM(
            self.initial_dist,
            self.transition_matrix,
            self.transition_dist,
            self.observation_matrix,
            self.observation_dist,
            validate_args=False,
        )
        log_density = torch.zeros((), dtype=value.dtype, device=value.device)
        for transform in reversed(self.transforms):
            before = transform.inv(value)
            log_jacobian = transform.log_abs_det_jacobian(before, value)
            log_density = log_density - sum_rightmost(log_jacobian, 2 - transform.codomain.event_dim)
            value = before
        return log_density + base.log_prob(value)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series, in a depth logarithmic in T; gradients flow where the noise is reparameterised.

        Raises:
            UsageError: a homogeneous model was not told its duration.
        """
        sample_shape, shape = torch.Size(sample_shape), self._batch_shape + (self.require_duration(),)
        first = _draw(self.initial_dist, sample_shape).unsqueeze(-2)
        shocks = _draw(self.transition_dist.expand(shape), sample_shape)
        noise = _draw(self.observation_dist.expand(shape), sample_shape)
        matrices = self.transition_matrix.expand(shape + self.transition_matrix.shape[-2:])

        def follow(x: Elements, y: Elements) -> Elements:  # z @ matrix + shock, one after the other
            return x[0] @ y[0], (x[1].unsqueeze(-2) @ y[0]).squeeze(-2) + y[1]

        powers, sums = prefix_products(follow, (matrices, shocks), (-3, -2))
        states = (first.unsqueeze(-2) @ powers).squeeze(-2) + sums
        value = (states.unsqueeze(-2) @ self.observation_matrix).squeeze(-2) + noise
        for transform in self.transforms:
            value = transform(value)
        return value
