"""The dense metric: a covariance shrunk towards a scaled identity, and its Cholesky factor."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import DENSE, Metric, MetricValues
from pyroxene.infer.mcmc.metrics.diagonal import regularised_variance

__all__ = ["DenseMetric", "dense_values", "regularised_covariance"]


def regularised_covariance(draws: numpy.ndarray) -> numpy.ndarray:
    """Return the covariance of draws, drawn towards 1e-3 times the identity with the weight of five draws.

    Args:
        draws: shape (num_draws, dim).

    Returns:
        Shape (dim, dim), positive definite for finite draws.

    Source: Stan Reference Manual, "HMC algorithm parameters", regularised warm-up estimates.
    """
    count = len(draws)
    centered = draws - draws.mean(axis=0)
    covariance = centered.T @ centered / (count - 1) * (count / (count + 5.0))
    covariance[numpy.diag_indices_from(covariance)] += 1e-3 * (5.0 / (count + 5.0))
    return covariance


def dense_values(covariance: numpy.ndarray, otherwise: numpy.ndarray) -> MetricValues:
    """Return the Cholesky factor of a covariance as values for the sampler.

    Args:
        covariance: shape (dim, dim).
        otherwise: variances, shape (dim,), to be used where rounding leaves the covariance indefinite.
    """
    try:
        factor = numpy.linalg.cholesky(covariance)
    except numpy.linalg.LinAlgError:
        factor = numpy.diag(numpy.sqrt(otherwise))
    return MetricValues(DENSE, numpy.ones(len(covariance)), numpy.ascontiguousarray(factor))


class DenseMetric(Metric):
    """Inverse mass = regularised covariance; final."""

    def room(self, dim: int) -> tuple[bool, int]:
        return True, 0

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        return dense_values(regularised_covariance(draws), regularised_variance(draws))

    def smallest_window(self, dim: int) -> int:
        return max(10, dim)
