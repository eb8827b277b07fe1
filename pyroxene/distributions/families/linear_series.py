"""GaussianRandomWalk, AR: series whose next value is linear in the past plus normal noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.compiler.scan import scan
from pyroxene.distributions import constraints
from pyroxene.distributions.torch import MultivariateNormal, Normal
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["AR", "GaussianRandomWalk", "require_steps"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def require_steps(cls: str, name: str, steps: int) -> None:
    """Raise unless a number of steps is a positive integer."""
    if not isinstance(steps, int) or steps < 1:
        raise ParameterError(f"{name} of {cls} is not a number of steps", expected="a positive integer", got=steps)


class GaussianRandomWalk(TorchDistribution):
    """Random walk from 0 with independent normal steps.

    x[1] = scale e[1], x[t] = x[t - 1] + scale e[t], with e[t] independent and standard normal; the density is
    prod_t exp(-(x[t] - x[t - 1])^2 / (2 scale^2)) / (scale sqrt(2 pi)) with x[0] = 0, which is not part of the event.

    Args:
        scale: standard deviation of a step, positive, shape batch_shape.
        num_steps: length T of the walk.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of T entries. Mean 0; the covariance of x[s] and x[t] is scale^2 min(s, t).

    PyMC's class of this name has a drift and a distribution of the first value; here, as in NumPyro, it has neither.

    Raises:
        ParameterError: scale is not positive, or num_steps not a positive integer.

    Source: W. Feller (1968), An Introduction to Probability Theory and Its Applications I, chapter XIV.

    Example:
        >>> d = GaussianRandomWalk(0.5, 3)
        >>> d.log_prob(torch.zeros(3)), d.variance
        (tensor(-0.6774), tensor([0.2500, 0.5000, 0.7500]))
    """

    arg_constraints = {"scale": constraints.positive}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, scale: torch.Tensor | float = 1.0, num_steps: int = 1, validate_args: bool | None = None
    ) -> None:
        require_steps("GaussianRandomWalk", "num_steps", num_steps)
        self.scale = torch.as_tensor(scale)
        self.num_steps = num_steps
        super().__init__(self.scale.shape, torch.Size((num_steps,)), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, scale: Sequence[int] = (), num_steps: int = 1) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape from the shape of scale and the number of steps."""
        return torch.Size(scale), torch.Size((num_steps,))

    def expand(self, batch_shape: Size, _instance: Any = None) -> GaussianRandomWalk:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(GaussianRandomWalk, _instance)
        new.scale, new.num_steps = self.scale.expand(torch.Size(batch_shape)), self.num_steps
        TorchDistribution.__init__(new, torch.Size(batch_shape), self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw walks; gradients reach scale."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.scale.dtype, device=self.scale.device)
        return self.scale.unsqueeze(-1) * white.cumsum(-1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of walks of shape (..., T)."""
        if self._validate_args:
            self._validate_sample(value)
        steps = torch.cat([value[..., :1], value[..., 1:] - value[..., :-1]], -1)
        white = (steps / self.scale.unsqueeze(-1)).square().sum(-1)
        return -0.5 * white - self.num_steps * (self.scale.log() + HALF_LOG_2PI)

    @property
    def mean(self) -> torch.Tensor:
        """Zeros, shape (*batch_shape, T)."""
        return torch.zeros_like(self.scale).unsqueeze(-1).expand(self.shape())

    @property
    def mode(self) -> torch.Tensor:
        """Zeros, shape (*batch_shape, T)."""
        return self.mean

    @property
    def variance(self) -> torch.Tensor:
        """scale^2 t, shape (*batch_shape, T)."""
        times = torch.arange(1, self.num_steps + 1, dtype=self.scale.dtype, device=self.scale.device)
        return self.scale.square().unsqueeze(-1) * times

    def entropy(self) -> torch.Tensor:
        """Return the entropy, that of T independent steps."""
        return self.num_steps * (self.scale.log() + HALF_LOG_2PI + 0.5)


class AR(TorchDistribution):
    """Autoregressive series of order p: each value is a weighted sum of the last p ones, plus normal noise.

    The first p values have the distribution init_dist. After them
    x[t] = rho[0] x[t - 1] + ... + rho[p - 1] x[t - p] + sigma e[t], with e[t] independent and standard normal; if
    `constant`, rho[0] is added instead and the weights are rho[1], ..., rho[p]. The density is that of the first p
    values times prod_t exp(-r[t]^2 / (2 sigma^2)) / (sigma sqrt(2 pi)), r[t] being what the sum leaves of x[t].

    Args:
        rho: weights, that of the latest value first, shape (*batch_shape, p), or (*batch_shape, 1 + p) with a
            constant; a number for p = 1. Nothing asks that the series be stationary.
        sigma: standard deviation of the noise, positive, shape batch_shape.
        init_dist: distribution of the first p values in their order: of vectors of p entries with batch_shape, or of
            scalars with a batch shape that broadcasts with (*batch_shape, p); None for Normal(0, 100), as in PyMC.
        constant: whether rho begins with a constant.
        steps: how many values follow the first p.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of p + steps entries. `mean` and `variance` follow by recursion.

    Raises:
        ParameterError: sigma is not positive, or steps not a positive integer.
        ShapeError: rho has no weight, or init_dist is not one of p values.

    Source: J. D. Hamilton (1994), Time Series Analysis, section 3.4.

    Example:
        >>> d = AR(torch.tensor([0.5, 0.2]), 1.0, Normal(0.0, 1.0), steps=3)
        >>> d.log_prob(torch.zeros(5)), d.variance
        (tensor(-4.5947), tensor([1.0000, 1.0000, 1.2900, 1.4625, 1.5662]))
    """

    arg_constraints = {"rho": constraints.real_vector, "sigma": constraints.positive}
    support = constraints.real_vector

    def __init__(
        self,
        rho: torch.Tensor | float,
        sigma: torch.Tensor | float = 1.0,
        init_dist: Any = None,
        constant: bool = False,
        steps: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        require_steps("AR", "steps", steps)
        rho = torch.as_tensor(rho)
        rho = rho.unsqueeze(-1) if rho.dim() == 0 else rho
        order = rho.shape[-1] - int(constant)
        if order < 1:
            raise ShapeError(
                "rho of AR has no weight",
                expected="shape (..., 1 + p) with a constant" if constant else "shape (..., p)",
                got=tuple(rho.shape),
            )
        sigma = torch.as_tensor(sigma, dtype=None if isinstance(sigma, torch.Tensor) else rho.dtype, device=rho.device)
        if init_dist is None:
            init_dist = Normal(rho.new_zeros(()), rho.new_full((), 100.0))
        scalars = not init_dist.event_shape
        found = tuple(init_dist.batch_shape[-1:] if scalars else init_dist.event_shape)
        if found != (order,) and not (scalars and found in ((), (1,))):
            raise ShapeError(
                "init_dist of AR does not fit rho",
                expected=f"event_shape ({order},), or scalars of a batch_shape that broadcasts with (..., {order})",
                got=f"{type(init_dist).__name__} with batch_shape {tuple(init_dist.batch_shape)}, "
                f"event_shape {tuple(init_dist.event_shape)}",
            )
        init_batch = init_dist.batch_shape[:-1] if scalars else init_dist.batch_shape
        batch_shape = torch.Size(broadcast_shape(rho.shape[:-1], sigma.shape, init_batch))
        if scalars:
            init_dist = init_dist.expand(batch_shape + (order,)).to_event(1)
        self.rho = rho.expand(batch_shape + rho.shape[-1:])
        self.sigma = sigma.expand(batch_shape)
        self.init_dist = init_dist.expand(batch_shape)
        self.constant, self.steps, self.order = constant, steps, order
        self.has_rsample = self.init_dist.has_rsample
        super().__init__(batch_shape, torch.Size((order + steps,)), validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls,
        rho: Sequence[int] = (),
        sigma: Sequence[int] = (),
        init_dist: Any = None,
        constant: bool = False,
        steps: int = 1,
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape from the shapes of rho and sigma, constant and steps."""
        order = (rho[-1] if len(rho) else 1) - int(constant)
        return torch.Size(broadcast_shape(rho[:-1], sigma)), torch.Size((order + steps,))

    def expand(self, batch_shape: Size, _instance: Any = None) -> AR:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(AR, _instance)
        batch_shape = torch.Size(batch_shape)
        new.rho = self.rho.expand(batch_shape + self.rho.shape[-1:])
        new.sigma = self.sigma.expand(batch_shape)
        new.init_dist = self.init_dist.expand(batch_shape)
        new.constant, new.steps, new.order = self.constant, self.steps, self.order
        new.has_rsample = self.has_rsample
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _split(self) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The constant, and the weights from the latest value to the earliest, each of the batch shape."""
        parts = list(self.rho.unbind(-1))
        return (parts[0], parts[1:]) if self.constant else (torch.zeros_like(parts[0]), parts)

    def _run(self, first: torch.Tensor, noise: torch.Tensor, intercept: bool = True) -> torch.Tensor:
        """The series that begins with `first`, (..., p), and takes up `noise`, (..., steps)."""
        constant, weights = self._split()

        def step(past: list[torch.Tensor], now: list[torch.Tensor], at: Any) -> tuple[list[torch.Tensor], Any]:
            new = now[0] + constant if intercept else now[0]
            for weight, value in zip(weights, past):
                new = new + weight * value
            return [new, *past[:-1]], [new]

        latest_first = list(first.unbind(-1))[::-1]
        _, (rest,) = scan(step, latest_first, [noise.movedim(-1, 0)], self.steps)
        return torch.cat([first, rest.movedim(0, -1)], -1)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw series; gradients reach rho and sigma, and init_dist if it is reparameterised."""
        sample_shape = torch.Size(sample_shape)
        first = self.init_dist(sample_shape)
        shape = sample_shape + self._batch_shape + (self.steps,)
        white = torch.randn(shape, dtype=self.rho.dtype, device=self.rho.device)
        return self._run(first, self.sigma.unsqueeze(-1) * white)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of series of shape (..., p + steps), all times at once."""
        if self._validate_args:
            self._validate_sample(value)
        order, length = self.order, value.shape[-1]
        constant, weights = self._split()
        rest = value[..., order:] - constant.unsqueeze(-1)
        for i, weight in enumerate(weights):
            rest = rest - weight.unsqueeze(-1) * value[..., order - 1 - i : length - 1 - i]
        white = (rest / self.sigma.unsqueeze(-1)).square().sum(-1)
        density = -0.5 * white - self.steps * (self.sigma.log() + HALF_LOG_2PI)
        return self.init_dist.log_prob(value[..., :order]) + density

    @property
    def mean(self) -> torch.Tensor:
        """The series without noise from the mean of init_dist, shape (*batch_shape, p + steps)."""
        first = self.init_dist.mean
        return self._run(first, torch.zeros_like(first[..., :1]).expand(*self._batch_shape, self.steps))

    @property
    def variance(self) -> torch.Tensor:
        """Variance at each time, shape (*batch_shape, p + steps)."""
        if isinstance(self.init_dist, MultivariateNormal):
            factor = self.init_dist.scale_tril
        else:  # the first values are taken for independent
            factor = torch.diag_embed(self.init_dist.variance.sqrt())
        quiet = torch.zeros_like(factor[..., 0, :1]).expand(*self._batch_shape, self.steps)
        total = torch.zeros_like(quiet[..., :1])
        for column in factor.unbind(-1):
            total = total + self._run(column, quiet, intercept=False).square()
        shock = torch.cat([self.sigma.unsqueeze(-1), quiet[..., 1:]], -1)
        response = self._run(torch.zeros_like(factor[..., 0]), shock, intercept=False)
        return total + response.square().cumsum(-1)
