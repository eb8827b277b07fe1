"""ImproperUniform: a flat density over any region, for priors that leave the data to speak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import CannotSampleError, ParameterError

__all__ = ["ImproperUniform"]


class ImproperUniform(TorchDistribution):
    """Density 1 over a region, which need not integrate to a finite number.

    Inference that needs only the density and the support works with it (MCMC, `AutoGuide`s); sampling from it does not.

    Args:
        support: the region, a constraint.
        batch_shape: shape of independent values.
        event_shape: shape of one event.

    Example:
        >>> d = ImproperUniform(constraints.positive, (2,), ())
        >>> d.log_prob(torch.ones(2))
        tensor([0., 0.])
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, support: constraints.Constraint, batch_shape: Sequence[int], event_shape: Sequence[int]) -> None:
        if not isinstance(support, constraints.Constraint):
            raise ParameterError("support must be a constraint", got=support, hint="see distributions.constraints")
        self._support = support
        super().__init__(torch.Size(batch_shape), torch.Size(event_shape))

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        """The region that was given."""
        return self._support

    def expand(self, batch_shape: Size, _instance: Any = None) -> ImproperUniform:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new._support = self._support
        TorchDistribution.__init__(new, torch.Size(batch_shape), self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return zero for each value; whether it lies in the region is not checked."""
        shape = broadcast_shape(value.shape[: value.dim() - len(self._event_shape)], self._batch_shape)
        dtype = value.dtype if value.is_floating_point() else None
        return torch.zeros((), dtype=dtype, device=value.device).expand(shape)

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Raise: an improper distribution has no samples.

        Raises:
            CannotSampleError: always.
        """
        raise CannotSampleError(
            "ImproperUniform does not support sampling",
            expected="a value from an observation, a guide, or MCMC's initial values",
            got=f"support {self._support}, batch_shape {tuple(self._batch_shape)}",
            hint="set the value by `condition` or an initialisation strategy (init_to_feasible, init_to_value), "
            "or use a proper prior",
        )

    def __repr__(self) -> str:
        return f"ImproperUniform({self._support}, {tuple(self._batch_shape)}, {tuple(self._event_shape)})"
