"""EulerMaruyama: a stochastic differential equation, seen at some times."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from pyroxene.compiler.scan import scan
from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape, sum_rightmost
from pyroxene.errors import ShapeError

__all__ = ["EulerMaruyama"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
Tensor = torch.Tensor


class EulerMaruyama(TorchDistribution):
    """Solutions of a stochastic differential equation by the method of Euler and Maruyama.

    dx = f(x, t) dt + g(x, t) dW, each entry of x with noise of its own. The first value has the distribution init_dist;
    the next one is normal with mean x + f(x, t) dt and standard deviation |g(x, t)| sqrt(dt), dt being the time to it.
    The density is that of the first value times prod_k N(x[k + 1]; x[k] + f dt, g^2 dt).

    Args:
        t: times, increasing, shape (K,) or (*batch_shape, K) with K >= 2.
        sde_fn: from (x, t) to drift f and diffusion g, pure. x has shape (..., *event_shape of init_dist), t is a
            scalar, or broadcasts with x where t has a batch shape. f and g have x's shape, or broadcast to it; for
            parameters with a batch shape, expand init_dist to it.
        init_dist: distribution of the first value; its batch shape broadcasts with that of t.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real arrays of shape (K, *event_shape of init_dist). Moments are not closed.

    Raises:
        ParameterError: the times do not increase.
        ShapeError: there are fewer than two times, or sde_fn returns larger tensors than x.

    Source: P. E. Kloeden and E. Platen (1992), Numerical Solution of Stochastic Differential Equations, section 9.1;
    names as in NumPyro.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> def ornstein_uhlenbeck(x, t):
        ...     return -x, torch.ones_like(x)
        >>> d = EulerMaruyama(torch.tensor([0.0, 0.5, 1.0]), ornstein_uhlenbeck, Normal(0.0, 1.0))
        >>> d.event_shape, d.log_prob(torch.zeros(3))
        (torch.Size([3]), tensor(-2.0637))
    """

    arg_constraints = {"t": constraints.ordered_vector}

    def __init__(
        self,
        t: Tensor,
        sde_fn: Callable[[Tensor, Tensor], tuple[Any, Any]],
        init_dist: Any,
        validate_args: bool | None = None,
    ) -> None:
        if t.dim() == 0 or t.shape[-1] < 2:
            raise ShapeError("t of EulerMaruyama has no step", expected="(..., K) with K >= 2", got=tuple(t.shape))
        batch_shape = torch.Size(broadcast_shape(t.shape[:-1], init_dist.batch_shape))
        self.t = t
        self.sde_fn = sde_fn
        self.init_dist = init_dist.expand(batch_shape)
        self.has_rsample = self.init_dist.has_rsample
        super().__init__(batch_shape, t.shape[-1:] + init_dist.event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> constraints.Constraint:
        """Real arrays of the event's shape."""
        return constraints.independent(constraints.real, len(self._event_shape))

    def expand(self, batch_shape: Size, _instance: Any = None) -> EulerMaruyama:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(EulerMaruyama, _instance)
        new.t, new.sde_fn = self.t, self.sde_fn  # t broadcasts
        new.init_dist = self.init_dist.expand(torch.Size(batch_shape))
        new.has_rsample = self.has_rsample
        TorchDistribution.__init__(new, torch.Size(batch_shape), self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _moments(self, x: Tensor, t: Tensor, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log standard deviation of the value that follows x, each of x's shape."""
        drift, diffusion = (
            part if isinstance(part, Tensor) else torch.as_tensor(part, dtype=x.dtype, device=x.device)
            for part in self.sde_fn(x, t)
        )
        shape = torch.Size(broadcast_shape(x.shape, drift.shape, diffusion.shape))
        if shape != x.shape:
            raise ShapeError(
                "sde_fn of EulerMaruyama returns larger tensors than it gets",
                expected=f"drift and diffusion that broadcast to {tuple(x.shape)}",
                got=f"drift {tuple(drift.shape)}, diffusion {tuple(diffusion.shape)}",
                hint="expand init_dist to the batch shape of the parameters of sde_fn",
            )
        return x + drift * dt, (diffusion.abs().log() + 0.5 * dt.log()).expand(shape)

    def _times(self) -> tuple[Tensor, Tensor]:
        """Times and steps along a first dimension of K - 1, each a scalar or broadcasting with a value."""
        t = self.t.movedim(-1, 0)
        if t.dim() > 1:
            t = t.reshape(t.shape + (1,) * (len(self._event_shape) - 1))
        return t[:-1], t[1:] - t[:-1]

    def rsample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw solutions; gradients reach the parameters of sde_fn, and init_dist if it is reparameterised."""
        first = self.init_dist(torch.Size(sample_shape))
        times, dts = self._times()
        white = torch.randn((len(times), *first.shape), dtype=first.dtype, device=first.device)

        def step(past: list[Tensor], now: list[Tensor], at: Any) -> tuple[list[Tensor], list[Tensor]]:
            mean, log_scale = self._moments(past[0], now[0], now[1])
            new = mean + log_scale.exp() * now[2]
            return [new], [new]

        _, (rest,) = scan(step, [first], [times, dts, white], len(times))
        series = torch.cat([first.unsqueeze(0), rest])
        return series.movedim(0, series.dim() - len(self._event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log density of solutions of shape (..., K, *event_shape of init_dist), all times at once."""
        if self._validate_args:
            self._validate_sample(value)
        value = value.expand(broadcast_shape(value.shape, self._batch_shape + self._event_shape))
        series = value.movedim(value.dim() - len(self._event_shape), 0)
        means, log_scales = torch.vmap(self._moments)(series[:-1], *self._times())
        white = (series[1:] - means) * (-log_scales).exp()
        steps = (-0.5 * white.square() - log_scales - HALF_LOG_2PI).sum(0)
        return self.init_dist.log_prob(series[0]) + sum_rightmost(steps, len(self._event_shape) - 1)
