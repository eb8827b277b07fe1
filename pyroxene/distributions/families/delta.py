"""Delta: all mass on one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape, is_identically_zero
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["Delta"]


class Delta(TorchDistribution):
    """Point mass at a value, with a log density of the caller's choice there.

    Args:
        v: the value, shape (*batch_shape, *event_shape).
        log_density: log density at the value, a number or a tensor that broadcasts with batch_shape. It lets a guide
            account for the Jacobian of a transform, for example.
        event_dim: how many rightmost dimensions of `v` are one event.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ShapeError: `v` has fewer than `event_dim` dimensions.

    Example:
        >>> d = Delta(torch.tensor([1.0, 2.0]), event_dim=1)
        >>> d.log_prob(torch.tensor([[1.0, 2.0], [1.0, 0.0]]))
        tensor([0., -inf])
    """

    has_rsample = True
    arg_constraints = {"v": constraints.dependent, "log_density": constraints.dependent}

    def __init__(
        self,
        v: torch.Tensor,
        log_density: torch.Tensor | float = 0.0,
        event_dim: int = 0,
        validate_args: bool | None = None,
    ) -> None:
        if not isinstance(v, torch.Tensor):
            v = torch.as_tensor(v)
        if event_dim > v.dim():
            raise ShapeError(
                f"Expected event_dim <= v.dim(), actual {event_dim} vs {v.dim()}",
                got=f"v of shape {tuple(v.shape)}",
                hint="lower event_dim, or give v its batch and event dimensions",
            )
        cut = v.dim() - event_dim
        batch_shape = v.shape[:cut]
        if isinstance(log_density, torch.Tensor) and log_density.dim() > 0 and log_density.shape != batch_shape:
            batch_shape = torch.Size(broadcast_shape(batch_shape, log_density.shape))
            v = v.expand(batch_shape + v.shape[cut:])
        self.v = v
        self._log_density = log_density
        super().__init__(batch_shape, v.shape[v.dim() - event_dim :], validate_args=validate_args)
        if self._validate_args and isinstance(log_density, torch.Tensor) and bool(log_density.isnan().any()):
            raise ParameterError("Expected parameter log_density of Delta not to be nan", got=log_density)

    @property
    def log_density(self) -> torch.Tensor:
        """Log density at the value, shape batch_shape."""
        density = self._log_density
        if not isinstance(density, torch.Tensor):
            density = torch.tensor(density, dtype=self._dtype(), device=self.v.device)
        return density.expand(self._batch_shape)

    def _dtype(self) -> torch.dtype:
        return self.v.dtype if self.v.is_floating_point() else torch.get_default_dtype()

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        """All reals, of the event's dimensions: the place of the mass is no matter of the type of value."""
        event_dim = len(self._event_shape)
        return constraints.independent(constraints.real, event_dim) if event_dim else constraints.real

    @classmethod
    def infer_shapes(
        cls, v: Sequence[int], log_density: Sequence[int] = (), event_dim: int = 0
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; `event_dim` is the number itself."""
        cut = len(v) - event_dim
        return torch.Size(broadcast_shape(tuple(v)[:cut], log_density)), torch.Size(tuple(v)[cut:])

    def expand(self, batch_shape: Size, _instance: Any = None) -> Delta:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        new.v = self.v.expand(batch_shape + self._event_shape)
        density = self._log_density
        new._log_density = density.expand(batch_shape) if isinstance(density, torch.Tensor) else density
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Return the value, expanded; gradients reach `v`."""
        return self.v.expand(self.shape(sample_shape)) if sample_shape else self.v

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return `log_density` where the value is `v` in all of an event's entries, else -inf."""
        event_dim = len(self._event_shape)
        is_equal = value == self.v
        if event_dim:
            if self._validate_args and value.shape[value.dim() - event_dim :] != self._event_shape:
                raise ShapeError(
                    f"The right-most size of value must match event_shape: "
                    f"{tuple(value.shape)} vs {tuple(self._event_shape)}"
                )
            is_equal = is_equal.all(tuple(range(-event_dim, 0)))
        log_prob = is_equal.to(self._dtype()).log()
        return log_prob if is_identically_zero(self._log_density) else log_prob + self._log_density

    @property
    def mean(self) -> torch.Tensor:
        """The value itself."""
        return self.v

    @property
    def variance(self) -> torch.Tensor:
        """Zero."""
        return torch.zeros_like(self.v)

    def __repr__(self) -> str:
        density = self._log_density
        shown = f", log_density: {tuple(density.shape)}" if isinstance(density, torch.Tensor) else f", {density}"
        return f"Delta(v: {tuple(self.v.shape)}{shown}, event_dim: {len(self._event_shape)})"
