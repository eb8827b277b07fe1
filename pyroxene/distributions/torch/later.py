"""Distributions that the installed torch has and this package does not name yet, made as the named ones are."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions.torch import composed, continuous, discrete, multivariate
from pyroxene.distributions.torch_distribution import TorchDistributionMixin

__all__ = ["LATER"]


class _GeneralizedParetoDensity:
    """A density for torch's class, whose own compares float64 with a float32 zero, which is an error."""

    _validate_args: bool
    _validate_sample: Any
    loc: torch.Tensor
    scale: torch.Tensor
    concentration: torch.Tensor

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density."""
        return self.log_survival_function(value) - (self.scale + self.concentration * (value - self.loc)).log()

    def log_survival_function(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        if self._validate_args:
            self._validate_sample(value)
        z = (value - self.loc) / self.scale
        is_zero = self.concentration.abs() < 1e-8  # the exponential limit; torch's own border
        safe = torch.where(is_zero, 1.0, self.concentration)
        return torch.where(is_zero, -z, -torch.log1p(safe * z) / safe)


_NAMED = {"Distribution", "Independent"}.union(
    *(room.__all__ for room in (composed, continuous, discrete, multivariate))
)
_MENDED: dict[str, tuple[type, ...]] = {"GeneralizedPareto": (_GeneralizedParetoDensity,)}

LATER: dict[str, type] = {
    name: type(
        name,
        (*_MENDED.get(name, ()), cls, TorchDistributionMixin),
        {"__module__": __name__, "__doc__": f"As `torch.distributions.{name}`, whose documentation says more."},
    )
    for name, cls in vars(torchdist).items()
    if isinstance(cls, type) and issubclass(cls, torchdist.Distribution) and name not in _NAMED
}
"""Classes by name, for example GeneralizedPareto, which not every supported torch has."""

globals().update(LATER)  # so that instances pickle
