"""Unit: a distribution without values, which adds a factor to a model's log density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape

__all__ = ["Unit"]


class Unit(TorchDistribution):
    """Trivial distribution of empty vectors with any log density; `pyroxene.factor` is made of it.

    Args:
        log_factor: the log density, shape batch_shape.
        has_rsample: whether gradient estimators treat the factor as reparameterised; in a guide it must be said.
        validate_args: whether to check the argument; None for the setting `validate_distributions_torch`.

    Example:
        >>> d = Unit(torch.tensor([-1.0, -2.0]))
        >>> d().shape, d.log_prob(d())
        (torch.Size([2, 0]), tensor([-1., -2.]))
    """

    arg_constraints = {"log_factor": constraints.real}
    support = constraints.real

    def __init__(
        self, log_factor: torch.Tensor | float, *, has_rsample: bool | None = None, validate_args: bool | None = None
    ) -> None:
        self.log_factor = torch.as_tensor(log_factor)
        if has_rsample is not None:
            self.has_rsample = has_rsample
        super().__init__(self.log_factor.shape, torch.Size((0,)), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, log_factor: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(log_factor), torch.Size((0,))

    def expand(self, batch_shape: Size, _instance: Any = None) -> Unit:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new.log_factor = self.log_factor.expand(torch.Size(batch_shape))
        if "has_rsample" in self.__dict__:
            new.has_rsample = self.has_rsample
        TorchDistribution.__init__(new, torch.Size(batch_shape), self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Return an empty tensor, (*sample_shape, *batch_shape, 0)."""
        return self.log_factor.new_empty(self.shape(sample_shape))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Return an empty tensor, (*sample_shape, *batch_shape, 0)."""
        return self.log_factor.new_empty(self.shape(sample_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the factor, expanded over the value's sample shape."""
        shape = value.shape[:-1]
        if shape == self.log_factor.shape:
            return self.log_factor
        return self.log_factor.expand(broadcast_shape(self.log_factor.shape, shape))
