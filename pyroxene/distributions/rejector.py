"""Rejector: rejection sampling as a distribution, with gradients through the accepted sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.score_parts import ScoreParts
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.errors import CannotSampleError

__all__ = ["Rejector"]

_MOST_ROUNDS = 10_000  # an acceptance of 1 in 1000 leaves one of a million entries waiting after 14 000 rounds


class Rejector(TorchDistribution):
    """Distribution of a proposal's samples that pass a test: density r(x) a(x) / s.

    Samples are drawn from the proposal r until each is accepted, with probability a(x). They are reparameterised as far
    as the proposal's are: the accepted sample carries its gradient, and `score_parts` has the term that corrects for
    what acceptance has to do with the parameters.

    Args:
        propose: the proposal r, a distribution; its samples should be reparameterised.
        log_prob_accept: a function of samples that returns log a(x), at most 0, shape (*sample_shape, *batch_shape).
        log_scale: log s, the log probability that a proposal is accepted, shape batch_shape.
        batch_shape: shape of independent parameters; None for the proposal's.
        event_shape: shape of one event; None for the proposal's.

    Source: Naesseth, Ruiz, Linderman and Blei (2017), Reparameterization gradients through acceptance-rejection
    sampling algorithms, equations 5 to 8.

    Example:
        >>> from pyroxene.distributions import Normal, HalfNormal
        >>> def accept(x):
        ...     return torch.where(x > 0, 0.0, -torch.inf)
        >>> half = Rejector(Normal(0.0, 1.0), accept, torch.tensor(0.5).log())
        >>> bool((half.sample((100,)) > 0).all())
        True
        >>> bool(torch.isclose(half.log_prob(torch.tensor(0.7)), HalfNormal(1.0).log_prob(torch.tensor(0.7))))
        True
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    has_rsample = True

    def __init__(
        self,
        propose: Any,
        log_prob_accept: Callable[[torch.Tensor], torch.Tensor],
        log_scale: torch.Tensor | float,
        *,
        batch_shape: Size | None = None,
        event_shape: Size | None = None,
    ) -> None:
        self.propose = propose
        self._accept = log_prob_accept
        self._log_scale = log_scale
        batch = propose.batch_shape if batch_shape is None else torch.Size(batch_shape)
        event = propose.event_shape if event_shape is None else torch.Size(event_shape)
        super().__init__(batch, event, validate_args=False)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The proposal's support."""
        return self.propose.support

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw proposals until each is accepted, (*sample_shape, *batch_shape, *event_shape).

        Raises:
            CannotSampleError: some entry was never accepted, as happens where its parameters are nan.
        """
        draw = self.propose.rsample if self.propose.has_rsample else self.propose.sample
        value = draw(torch.Size(sample_shape))
        waiting = self._rejects(value)
        for _ in range(_MOST_ROUNDS):
            if not waiting.any():
                return value
            fresh = draw(torch.Size(sample_shape))
            chosen = waiting.reshape(waiting.shape + (1,) * len(self._event_shape))
            value = torch.where(chosen, fresh, value)
            waiting = waiting & self._rejects(fresh)
        raise CannotSampleError(
            f"{type(self).__name__} accepted none of {_MOST_ROUNDS} proposals",
            expected="an acceptance probability that is not nan, and not far below a thousandth",
            got=f"{int(waiting.sum())} of {waiting.numel()} samples waiting",
            hint="look for nan among the parameters, or choose a proposal that is closer",
        )

    @torch.no_grad()
    def _rejects(self, value: torch.Tensor) -> torch.Tensor:
        """Whether each of the proposed values fails the test; a new random decision each time."""
        log_accept = self._accept(value)
        return ~(torch.rand_like(log_accept).log() < log_accept)

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """Return log r(x) + log a(x) - log s."""
        return self.propose.log_prob(x) + self._accept(x) - self._log_scale

    def score_parts(self, x: torch.Tensor) -> ScoreParts:
        """Return the parts of a gradient estimate; the score function is log a(x) - log s."""
        score = self._accept(x) - self._log_scale
        log_prob = self.propose.log_prob(x) + score
        return ScoreParts(log_prob=log_prob, score_function=score, entropy_term=log_prob)
