"""The diagonal metric by variances, shrunk as Stan does."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import DIAGONAL, Metric, MetricValues

__all__ = ["DiagonalMetric", "regularised_variance"]


def regularised_variance(draws: numpy.ndarray) -> numpy.ndarray:
    """Return the variances of draws, drawn towards 1e-3 with the weight of five draws.

    Args:
        draws: shape (num_draws, dim).

    Returns:
        Shape (dim,), positive.

    Source: Stan Reference Manual, "HMC algorithm parameters", regularised warm-up estimates.
    """
    count = len(draws)
    return draws.var(axis=0, ddof=1) * (count / (count + 5.0)) + 1e-3 * (5.0 / (count + 5.0))


class DiagonalMetric(Metric):
    """Inverse mass = regularised variance of each coordinate; final."""

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        return MetricValues(DIAGONAL, numpy.sqrt(regularised_variance(draws)))

    def smallest_window(self, dim: int) -> int:
        return 10
