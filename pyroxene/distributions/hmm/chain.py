"""The joint Gaussian function of hidden states and observations: its integral, its last state, and draws from it."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.distributions.torch import MultivariateNormal
from pyroxene.distributions.torch_distribution import Size
from pyroxene.ops.gaussian import (
    Gaussian,
    gaussian_tensordot,
    sequential_gaussian_filter_sample,
    sequential_gaussian_tensordot,
)

__all__ = ["draw_observations", "draw_states", "last_state", "mean_states", "seen", "to_normal", "unseen"]


def _in_time(steps: Gaussian, duration: int | None) -> Gaussian:
    """Expand over time what has no time axis, or one of size 1."""
    shape = steps.batch_shape
    if duration is None:
        return steps
    return steps.expand(shape[:-1] + (duration,))


def seen(trans: Gaussian, obs: Any, value: torch.Tensor) -> Gaussian:
    """Return the functions of (z[t - 1], z[t]) given observations.

    Args:
        trans: functions of (z[t - 1], z[t]), time their rightmost batch dimension.
        obs: functions of (z[t], x[t]).
        value: x, shape (*batch_shape, T, D).
    """
    size = trans.dim() // 2
    return _in_time(trans + obs.condition(value).event_pad(left=size), value.shape[-2])


def unseen(trans: Gaussian, obs: Any, duration: int) -> Gaussian:
    """Return the functions of (z[t - 1], z[t]) with the observations integrated out."""
    size = trans.dim() // 2
    return _in_time(trans + obs.marginalize(right=obs.dim() - size).event_pad(left=size), duration)


def last_state(init: Gaussian, steps: Gaussian) -> Gaussian:
    """Return the function of z[T] that is left when all earlier states are integrated out."""
    return gaussian_tensordot(init, sequential_gaussian_tensordot(steps), init.dim())


def draw_states(init: Gaussian, steps: Gaussian, sample_shape: Size, batch_shape: torch.Size) -> torch.Tensor:
    """Draw z[1], ..., z[T], shape (*sample_shape, *batch_shape, T, H)."""
    return sequential_gaussian_filter_sample(init.expand(batch_shape), steps, sample_shape)[..., 1:, :]


def draw_observations(
    init: Gaussian, trans: Gaussian, obs: Any, duration: int, sample_shape: Size, batch_shape: torch.Size
) -> torch.Tensor:
    """Draw x[1], ..., x[T], shape (*sample_shape, *batch_shape, T, D)."""
    states = draw_states(init, unseen(trans, obs, duration), sample_shape, batch_shape)
    return obs.left_condition(states).rsample()


def to_normal(gaussian: Gaussian, validate_args: bool | None) -> MultivariateNormal:
    """Return the normal distribution that a function is proportional to."""
    precision = 0.5 * (gaussian.precision + gaussian.precision.mT)
    factor = torch.linalg.cholesky(precision)
    loc = torch.cholesky_solve(gaussian.info_vec.unsqueeze(-1), factor).squeeze(-1)
    return MultivariateNormal(loc, precision_matrix=precision, validate_args=validate_args)


def mean_states(init: Gaussian, steps: Gaussian, batch_shape: torch.Size) -> torch.Tensor:
    """Return the mean of z[1], ..., z[T], shape (*batch_shape, T, H): the draw without noise."""
    shape = batch_shape + (steps.batch_shape[-1] + 1, init.dim())
    still = torch.zeros((), dtype=init.info_vec.dtype, device=init.info_vec.device).expand(shape)
    return sequential_gaussian_filter_sample(init.expand(batch_shape), steps, (), still)[..., 1:, :]
