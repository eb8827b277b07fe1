"""GARCH11: a series whose variance follows its own past, and that of the series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.utils import broadcast_all

from pyroxene.compiler.scan import scan
from pyroxene.distributions import constraints
from pyroxene.distributions.families.linear_series import require_steps
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape

__all__ = ["GARCH11"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class GARCH11(TorchDistribution):
    """Series with generalised autoregressive conditional heteroskedasticity, one lag of each kind.

    x[t] = s[t] e[t] with e[t] independent and standard normal, s[0] = initial_vol and
    s[t]^2 = omega + alpha_1 x[t - 1]^2 + beta_1 s[t - 1]^2; the density is
    prod_t exp(-x[t]^2 / (2 s[t]^2)) / (s[t] sqrt(2 pi)), t = 0, ..., steps.

    Args:
        omega: what is added to the variance at each step, positive, shape batch_shape.
        alpha_1: weight of the last square, between 0 and 1, shape batch_shape.
        beta_1: weight of the last variance, between 0 and 1, shape batch_shape. The series settles down if
            alpha_1 + beta_1 < 1, which is not asked for.
        initial_vol: standard deviation (not variance) of the first value, positive, shape batch_shape.
        steps: how many values follow the first.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of 1 + steps entries. Mean 0; the values are uncorrelated, their variance follows
    v[t] = omega + (alpha_1 + beta_1) v[t - 1].

    Raises:
        ParameterError: an argument is out of its range.

    Source: T. Bollerslev (1986), Generalized Autoregressive Conditional Heteroskedasticity; names as in PyMC.

    Example:
        >>> d = GARCH11(0.2, 0.3, 0.5, 1.0, steps=2)
        >>> d.log_prob(torch.zeros(3)), d.variance
        (tensor(-2.2796), tensor([1., 1., 1.]))
    """

    arg_constraints = {
        "omega": constraints.positive,
        "alpha_1": constraints.unit_interval,
        "beta_1": constraints.unit_interval,
        "initial_vol": constraints.positive,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        omega: torch.Tensor | float,
        alpha_1: torch.Tensor | float,
        beta_1: torch.Tensor | float,
        initial_vol: torch.Tensor | float,
        steps: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        require_steps("GARCH11", "steps", steps)
        self.omega, self.alpha_1, self.beta_1, self.initial_vol = broadcast_all(omega, alpha_1, beta_1, initial_vol)
        self.steps = steps
        super().__init__(self.omega.shape, torch.Size((1 + steps,)), validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls,
        omega: Sequence[int] = (),
        alpha_1: Sequence[int] = (),
        beta_1: Sequence[int] = (),
        initial_vol: Sequence[int] = (),
        steps: int = 1,
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape from the shapes of the parameters and the number of steps."""
        return torch.Size(broadcast_shape(omega, alpha_1, beta_1, initial_vol)), torch.Size((1 + steps,))

    def expand(self, batch_shape: Size, _instance: Any = None) -> GARCH11:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(GARCH11, _instance)
        for name in self.arg_constraints:
            setattr(new, name, getattr(self, name).expand(torch.Size(batch_shape)))
        new.steps = self.steps
        TorchDistribution.__init__(new, torch.Size(batch_shape), self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series; gradients reach all parameters."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.omega.dtype, device=self.omega.device).movedim(-1, 0)

        def step(past: list[torch.Tensor], now: list[torch.Tensor], at: Any) -> tuple[list[torch.Tensor], Any]:
            square, variance = past
            variance = self.omega + self.alpha_1 * square + self.beta_1 * variance
            new = variance.sqrt() * now[0]
            return [new.square(), variance], [new]

        first = self.initial_vol * white[0]
        _, (rest,) = scan(
            step, [first.square(), self.initial_vol.square().expand(first.shape)], [white[1:]], self.steps
        )
        return torch.cat([first.unsqueeze(-1), rest.movedim(0, -1)], -1)

    def conditional_variance(self, value: torch.Tensor) -> torch.Tensor:
        """Return the conditional variances s[t]^2 of a series, (..., 1 + steps)."""
        shape = broadcast_shape(value.shape[:-1], self._batch_shape)
        squares = value.square().expand(*shape, value.shape[-1])
        first = self.initial_vol.square().expand(shape)

        def step(past: list[torch.Tensor], now: list[torch.Tensor], at: Any) -> tuple[list[torch.Tensor], Any]:
            variance = self.omega + self.alpha_1 * now[0] + self.beta_1 * past[0]
            return [variance], [variance]

        _, (rest,) = scan(step, [first], [squares[..., :-1].movedim(-1, 0)], self.steps)
        return torch.cat([first.unsqueeze(-1), rest.movedim(0, -1)], -1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., 1 + steps)."""
        if self._validate_args:
            self._validate_sample(value)
        variance = self.conditional_variance(value)
        return (-0.5 * (value.square() / variance + variance.log()) - HALF_LOG_2PI).sum(-1)

    @property
    def mean(self) -> torch.Tensor:
        """Zeros, shape (*batch_shape, 1 + steps)."""
        return torch.zeros_like(self.omega).unsqueeze(-1).expand(self.shape())

    @property
    def variance(self) -> torch.Tensor:
        """Variance at each time, the past unknown, shape (*batch_shape, 1 + steps)."""
        found = [self.initial_vol.square()]
        for _ in range(self.steps):
            found.append(self.omega + (self.alpha_1 + self.beta_1) * found[-1])
        return torch.stack(found, -1)
