"""What zero-inflated and hurdle distributions share: a gate, a probability with which the value is zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.adoption import adopt
from pyroxene.distributions.torch_distribution import Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError

__all__ = ["Gated", "log_mixture"]

Tensor = torch.Tensor

_UNDERFLOW = 1e-30
"""Below this a probability's logarithm is put together from the logarithms of its parts; float32 ends at 1e-38."""


def log_mixture(gate: Tensor, log_prob: Tensor) -> Tensor:
    """Return log(gate + (1 - gate) exp(log_prob)), with the right gradient at a gate of 0 and of 1.

    Example:
        >>> log_mixture(torch.tensor([0.5, 0.0, 0.0]), torch.tensor([-1000.0, -1000.0, 0.0]))
        tensor([-6.9315e-01, -1.0000e+03,  0.0000e+00])
    """
    total = gate + (1 - gate) * log_prob.exp()
    is_large = total > _UNDERFLOW
    is_tiny = (gate > 0) & ~is_large
    tiny = torch.logaddexp(torch.where(is_tiny, gate, 1.0).log(), torch.where(is_tiny, log_prob, -1.0))
    small = torch.where(is_tiny, tiny, torch.where(is_large, -1.0, log_prob))
    return torch.where(is_large, torch.where(is_large, total, 1.0).log(), small)


class Gated(TorchDistribution):
    """Abstract: a distribution of one number that is zero with the probability of a gate, else from another one.

    Implementing a gated distribution: define `log_prob`, `sample` and moments in terms of `base_dist`, `gate` and
    `_log_open()`; a subclass for one base calls `super().__init__` with it, and lists its parameters as properties.
    """

    arg_constraints: dict[str, constraints.Constraint] = {
        "gate": constraints.unit_interval,
        "gate_logits": constraints.real,
    }
    base_dist: Any

    def __init__(
        self,
        base_dist: Any,
        *,
        gate: Tensor | float | None = None,
        gate_logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        if (gate is None) == (gate_logits is None):
            raise ParameterError(
                "Either `gate` or `gate_logits` must be specified, but not both.",
                expected=f"{name}(..., gate=...) or {name}(..., gate_logits=...)",
                got="neither" if gate is None else "both",
            )
        base_dist = adopt(base_dist)
        if base_dist.event_shape:
            raise ParameterError(
                f"{name} expected empty base_dist.event_shape but got {tuple(base_dist.event_shape)}",
                expected="a distribution of one number",
                hint="gate each number, then call to_event",
            )
        given = gate if gate_logits is None else gate_logits
        if not isinstance(given, torch.Tensor):
            given = torch.as_tensor(given, dtype=_dtype_of(base_dist))
        batch_shape = torch.Size(broadcast_shape(given.shape, base_dist.batch_shape))
        self.base_dist = base_dist if base_dist.batch_shape == batch_shape else base_dist.expand(batch_shape)
        self._has_logits = gate is None
        self._gate = given.expand(batch_shape)
        super().__init__(batch_shape, validate_args=validate_args)

    @property
    def gate(self) -> Tensor:
        """Probability of the gate, shape batch_shape."""
        return torch.sigmoid(self._gate) if self._has_logits else self._gate

    @property
    def gate_logits(self) -> Tensor:
        """Its log odds, shape batch_shape."""
        return self._gate if self._has_logits else self._gate.log() - torch.log1p(-self._gate)

    def _log_open(self, is_used: Tensor | None = None) -> Tensor:
        """Log of 1 - gate; where it is not used, a number without a gradient."""
        if self._has_logits:
            return logsigmoid(-self._gate)
        return torch.log1p(-(self._gate if is_used is None else torch.where(is_used, self._gate, 0.5)))

    def _open(self) -> Tensor:
        """1 - gate."""
        return torch.sigmoid(-self._gate) if self._has_logits else 1 - self._gate

    @constraints.dependent_property(event_dim=0)
    def support(self) -> constraints.Constraint:
        """The base distribution's support."""
        return self.base_dist.support

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """Whether the base distribution's values can be listed."""
        return self.base_dist.has_enumerate_support

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return the base distribution's values along a new first dimension."""
        return self.base_dist.enumerate_support(expand=expand)

    @classmethod
    def infer_shapes(cls, *args: Any, **arg_shapes: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape: every parameter broadcasts with every other."""
        shapes = [tuple(shape) for shape in (*args, *arg_shapes.values())]
        return torch.Size(broadcast_shape(*shapes)), torch.Size()

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.base_dist = self.base_dist.expand(batch_shape)
        new._has_logits = self._has_logits
        new._gate = self._gate.expand(batch_shape)
        TorchDistribution.__init__(new, batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _closed(self, shape: torch.Size) -> Tensor:
        """Draw where the gate is closed, so that the value is zero."""
        return torch.rand(shape, dtype=self._gate.dtype, device=self._gate.device) < self.gate

    def __repr__(self) -> str:
        name = "gate_logits" if self._has_logits else "gate"
        return f"{type(self).__name__}({self.base_dist}, {name}: {tuple(self._gate.shape)})"


def _dtype_of(distribution: Any) -> torch.dtype:
    """The dtype of a distribution's parameters."""
    for value in vars(distribution).values():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            return value.dtype
    return torch.get_default_dtype()
