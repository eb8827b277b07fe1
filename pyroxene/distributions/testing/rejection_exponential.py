"""An exponential distribution drawn by rejection, for tests of gradients through a rejection sampler."""

from __future__ import annotations

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.rejector import Rejector
from pyroxene.distributions.torch import Exponential

__all__ = ["RejectionExponential"]


class RejectionExponential(Rejector):
    """Exponential distribution drawn as a slower one thinned: proposal Exponential(rate factor).

    Args:
        rate: inverse of the mean, positive, shape batch_shape.
        factor: the probability of acceptance, between 0 and 1, shape batch_shape.

    Example:
        >>> from pyroxene.distributions import Exponential
        >>> d, x = RejectionExponential(torch.tensor(2.0), torch.tensor(0.5)), torch.tensor(0.7)
        >>> bool(torch.isclose(d.log_prob(x), Exponential(2.0).log_prob(x)))
        True
    """

    arg_constraints = {"rate": constraints.positive, "factor": constraints.positive}
    support = constraints.nonnegative

    def __init__(self, rate: torch.Tensor, factor: torch.Tensor) -> None:
        self.rate, self.factor = torch.broadcast_tensors(rate, factor)
        super().__init__(Exponential(self.rate * self.factor), self.log_prob_accept, self.factor.log())

    def log_prob_accept(self, x: torch.Tensor) -> torch.Tensor:
        """Return the log probability that a proposed value is kept, (factor - 1) rate x."""
        return (self.factor - 1) * self.rate * x
