"""IndependentHMM: several univariate hidden Markov models as the entries of one series."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.errors import ShapeError

__all__ = ["IndependentHMM"]


class IndependentHMM(TorchDistribution):
    """Distribution of series of vectors whose entries are independent series.

    p(x) = Π p(x[:, d]) over the entries d, each by the model of the same index in the rightmost batch dimension of
    base_dist.

    Args:
        base_dist: a `HiddenMarkovModel` of series of one real number, batch shape (*batch_shape, D), event shape
            (T, 1).
        validate_args: whether to check values; None for what base_dist does.

    Support: real matrices of shape (T, D).

    Raises:
        ShapeError: base_dist has no batch dimension, or its event shape is not (T, 1).

    Example:
        >>> from pyroxene.distributions import Normal
        >>> from pyroxene.distributions.hmm import GaussianHMM
        >>> noise = Normal(torch.zeros(3, 1, 1), 1.0).to_event(1)
        >>> start = Normal(torch.zeros(3, 1), 1.0).to_event(1)
        >>> d = IndependentHMM(GaussianHMM(start, torch.eye(1), noise, torch.eye(1), noise, duration=5))
        >>> d.batch_shape, d.event_shape
        (torch.Size([]), torch.Size([5, 3]))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, base_dist: Any, validate_args: bool | None = None) -> None:
        if not base_dist.batch_shape or base_dist.event_dim != 2 or base_dist.event_shape[1] != 1:
            raise ShapeError(
                "IndependentHMM needs a batch of univariate series",
                expected="batch_shape (..., D) and event_shape (T, 1)",
                got=f"batch_shape {tuple(base_dist.batch_shape)}, event_shape {tuple(base_dist.event_shape)}",
                hint="expand the model over the entries",
            )
        self.base_dist = base_dist
        event_shape = base_dist.event_shape[:1] + base_dist.batch_shape[-1:]
        if validate_args is None:  # the base checks the values; once is enough
            validate_args = base_dist._validate_args
        super().__init__(base_dist.batch_shape[:-1], event_shape, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """Series whose entries lie in the support of base_dist."""
        return self.base_dist.support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether samples of base_dist are reparameterised."""
        return self.base_dist.has_rsample

    @property
    def duration(self) -> int | None:
        """The number of time steps; None for a homogeneous model that was not told."""
        return self.base_dist.duration

    def expand(self, batch_shape: Size, _instance: Any = None) -> IndependentHMM:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(IndependentHMM, _instance)
        batch_shape = torch.Size(batch_shape)
        new.base_dist = self.base_dist.expand(batch_shape + self.base_dist.batch_shape[-1:])
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series."""
        return self.base_dist.sample(sample_shape).squeeze(-1).mT

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series with gradients, where base_dist can."""
        return self.base_dist.rsample(sample_shape).squeeze(-1).mT

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., T, D)."""
        if value.shape[-1:] != self._event_shape[-1:]:
            raise ShapeError("value does not fit", expected=tuple(self._event_shape), got=tuple(value.shape))
        return self.base_dist.log_prob(value.mT.unsqueeze(-1)).sum(-1)
