"""The way down from absurd starting points, before warm-up begins."""

from __future__ import annotations

import numpy
import torch

from pyroxene.infer.mcmc.chains import Density

__all__ = ["come_down"]

STEEP = 1e8
"""Slopes beyond this, a unit of unconstrained space, are no posterior's: warm-up copes with less."""

_MOST_STEPS = 300
_FIRST, _LONGEST = 0.1, 1.0


def come_down(density: Density, starts: torch.Tensor) -> torch.Tensor:
    """Return starting points, and of those that lie on absurd slopes the first below that is less steep.

    Where a recursion or a volatility explodes, a start within two units of zero can have a log density of -1e100. What
    warm-up learns there, of widths of 1e-50, keeps a chain there: one chain in four of ARMA(1, 1), and of stochastic
    volatility, stood still for good. From elsewhere the points come back as they were.

    Args:
        density: with finite values and gradients at the starts.
        starts: shape (num_chains, dim), float64.

    Returns:
        The same shape.
    """
    if starts.numel() == 0:
        return starts
    return torch.stack([_down_from(density, start) for start in starts])


def _down_from(density: Density, start: torch.Tensor) -> torch.Tensor:
    """Climb along the gradient, by steps that double while they succeed, up to where it is not steep."""
    point = start
    value, gradient = (part.detach() for part in density.value_and_grad(point))
    length = _FIRST
    for _ in range(_MOST_STEPS):
        steepest = float(gradient.abs().max())
        if steepest <= STEEP or length < numpy.finfo(float).eps:
            break
        trial = point + (length / steepest) * gradient
        trial_value, trial_gradient = (part.detach() for part in density.value_and_grad(trial))
        if bool(trial_value > value) and bool(trial_gradient.isfinite().all()):
            point, value, gradient = trial, trial_value, trial_gradient
            length = min(2.0 * length, _LONGEST)
        else:
            length *= 0.25
    return point
