"""Univariate: the base of continuous distributions of one real number that are our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.distributions.utils import broadcast_all

from pyroxene.distributions.tails.registry import icdf
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution

__all__ = ["EULER_GAMMA", "Number", "Univariate", "log_minus_log", "uniform"]

Number = torch.Tensor | float

EULER_GAMMA = 0.57721566490153286061
"""The Euler-Mascheroni constant, minus the derivative of the gamma function at 1."""


def uniform(shape: torch.Size, like: torch.Tensor) -> torch.Tensor:
    """Return uniform noise strictly between 0 and 1, so that no quantile of it is infinite.

    `torch.rand` gives multiples of half the precision, 0 among them; each is moved to the middle of its cell.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> noise = uniform(torch.Size((1000,)), torch.zeros(()))
        >>> bool(((noise > 0) & (noise < 1)).all())
        True
    """
    eps = torch.finfo(like.dtype).eps
    return (torch.rand(shape, dtype=like.dtype, device=like.device) + eps / 4).clamp(max=1 - eps / 2)


def log_minus_log(log_probability: torch.Tensor, log_complement: torch.Tensor) -> torch.Tensor:
    """Return log(-log p), given both the log of a probability p and that of its complement.

    Example:
        >>> log_minus_log(torch.tensor(-0.5), torch.tensor(-0.9327521))
        tensor(-0.6931)
        >>> log_minus_log(torch.tensor(0.0), torch.tensor(-200.0))
        tensor(-200.)
    """
    far, near = log_complement < -40.0, log_complement < -1.0  # far: p rounds to 1, and log p to -(1 - p)
    from_complement = (-torch.log1p(-torch.exp(torch.where(near & ~far, log_complement, -1.0)))).log()
    direct = (-torch.where(near, -1.0, log_probability)).log()
    return torch.where(far, log_complement, torch.where(near, from_complement, direct))


class Univariate(TorchDistribution):
    """Abstract: a continuous distribution of one number, whose parameters broadcast to the batch shape.

    `cdf`, `log_cdf` and `log_survival` take any number: below the support the cdf is 0, above it 1.

    Implementing a univariate distribution:
        - Declare `arg_constraints`, with one entry for each tensor parameter, and `support`.
        - In `__init__` call `self._set_parameters(validate_args, name=value, ...)`.
        - Define `_log_density(value)`, -inf outside of the support, with finite gradients.
        - Define `log_cdf` and `log_survival`, finite in the tails.
        - Define `_inverse_cdf(log_cdf, log_survival)`, differentiable, where the quantile is closed; otherwise it is
          solved for.
        - Define `rsample` where the inverse of the cdf is not the best way; `mean`, `variance`, `mode` and `entropy`
          where they are closed.
    """

    has_rsample = True
    _inverse_cdf: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None

    def _set_parameters(self, validate_args: bool | None, **parameters: Number) -> None:
        """Set each parameter, broadcast, as an attribute, and the batch shape."""
        values = broadcast_all(*parameters.values())
        for name, value in zip(parameters, values):
            self.__dict__[name] = value
        super().__init__(values[0].shape, validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        new.__dict__.update(self.__dict__)
        for name in self.arg_constraints:
            new.__dict__[name] = self.__dict__[name].expand(torch.Size(batch_shape))
        TorchDistribution.__init__(new, torch.Size(batch_shape), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, -inf outside of the support where values are not checked.

        Args:
            value: broadcasts with the batch shape.
        """
        if self._validate_args:
            self._validate_sample(value)
        return self._log_density(value)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        """The log density at a value that need not lie in the support."""
        raise NotImplementedError(f"{type(self).__name__} does not define its density")

    def cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the probability of no greater value."""
        return self.log_cdf(value).exp()  # type: ignore[attr-defined]  # of the class

    def icdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the quantile: the value whose cdf is given, a number between 0 and 1."""
        if self._inverse_cdf is None:
            return icdf(self, value)
        return self._inverse_cdf(value.log(), torch.log1p(-value))

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a reparameterised sample, (*sample_shape, *batch_shape): the quantile of uniform noise."""
        like = self.__dict__[next(iter(self.arg_constraints))]
        return self.icdf(uniform(self.shape(sample_shape), like))

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample without gradients, (*sample_shape, *batch_shape)."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def _normal(self, sample_shape: Size) -> torch.Tensor:
        """Standard normal noise of the shape of a sample."""
        like = self.__dict__[next(iter(self.arg_constraints))]
        return torch.randn(self.shape(sample_shape), dtype=like.dtype, device=like.device)

    def _exponential(self, sample_shape: Size) -> torch.Tensor:
        """Standard exponential noise of the shape of a sample, never 0."""
        like = self.__dict__[next(iter(self.arg_constraints))]
        noise = torch.empty(self.shape(sample_shape), dtype=like.dtype, device=like.device).exponential_()
        return noise.clamp(min=torch.finfo(like.dtype).tiny)

    def _reparameterised(self, value: torch.Tensor) -> torch.Tensor:
        """Give a sample the gradient of the implicit function that the cdf defines, by the smaller of its two tails.

        Source: Figurnov, Mohamed and Mnih (2018), Implicit reparameterization gradients, equation 5.
        """
        below, above = self.log_cdf(value), self.log_survival(value)  # type: ignore[attr-defined]  # of the class
        is_left = below < above
        excess = torch.where(is_left, below, -above)
        if not excess.requires_grad:
            return value
        slope = torch.exp(torch.minimum(below, above) - self._log_density(value)).detach()
        return value - slope * (excess - excess.detach())
