"""The diagonal metric by Fisher divergence: draws and gradients together."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import DIAGONAL, Metric, MetricValues

__all__ = ["FisherMetric", "fisher_scale", "scale_from_gradient", "scale_from_variances"]

_SMALLEST, _LARGEST = 1e-20, 1e20

_FLAT = 1e-6
"""Where no coordinate's slope exceeds this, the start is taken for a mode rather than for a posterior a thousand wide."""


def fisher_scale(draws: numpy.ndarray, gradients: numpy.ndarray) -> numpy.ndarray:
    """Return the diagonal factor that minimises the Fisher divergence to a standard normal.

    For independent normals gradients have the variance 1 / variance of the draws, so that both say the same and the
    estimate is exact from a handful of draws: its error comes from correlation alone.

    Args:
        draws: shape (num_draws, dim).
        gradients: the same shape.

    Returns:
        The fourth root of var(draws) / var(gradients), shape (dim,), finite and positive.

    Source: Seyboldt, Carlson and Carpenter 2026, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher
    Divergence": M^-1 = sqrt(var(draws) / var(gradients)).
    """
    return scale_from_variances(draws.var(axis=0), gradients.var(axis=0))


def scale_from_variances(spread: numpy.ndarray, slope: numpy.ndarray) -> numpy.ndarray:
    """Return `fisher_scale` from the variances of draws and of gradients, each of shape (dim,)."""
    ratio = numpy.clip(spread, _SMALLEST, _LARGEST) / numpy.clip(slope, _SMALLEST, _LARGEST)
    return numpy.sqrt(numpy.sqrt(ratio))


def scale_from_gradient(gradient: numpy.ndarray) -> numpy.ndarray:
    """Return a first factor from one gradient: a coordinate where the density is steep is narrow.

    A normal of variance v, started about one unit from its middle, has a gradient of about 1 / v. A chain that starts
    at a mode sees no slope, which says nothing: its factor is one.

    Args:
        gradient: at the chain's start, shape (dim,).

    Returns:
        |gradient|^(-1/2), at most a thousandfold apart from its geometric mean, shape (dim,).
    """
    size = numpy.abs(gradient)
    if not size.max() > _FLAT:
        return numpy.ones(len(gradient))
    logs = numpy.log(numpy.clip(size, _SMALLEST, _LARGEST))
    middle = numpy.log(numpy.clip(numpy.median(size[size > 0.0]), _SMALLEST, _LARGEST))
    return numpy.exp(-0.5 * numpy.clip(logs, middle - 7.0, middle + 14.0))


class FisherMetric(Metric):
    """Inverse mass = sqrt(var(draws) / var(gradients)) for each coordinate; final."""

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        return MetricValues(DIAGONAL, fisher_scale(draws, gradients))

    def smallest_window(self, dim: int) -> int:
        return 4
