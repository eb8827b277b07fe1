"""The arrowhead metric: some head coordinates correlate with all, the others only with the head."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import DIAGONAL, Metric, MetricValues
from pyroxene.infer.mcmc.metrics.dense import dense_values
from pyroxene.infer.mcmc.metrics.fisher import fisher_covariance, fisher_scale

__all__ = ["ArrowheadMetric"]


class ArrowheadMetric(Metric):
    """Mass matrix (not its inverse) = an arrowhead: dense in its first rows and columns, diagonal below; final.

    Given the head, the other coordinates are independent in the estimate: their inverse covariance has no entries off
    its diagonal, as in a hierarchy whose hyperparameters come first. The head's covariances, and the variances, are
    those of the dense estimate.

    Args:
        head_size: how many of the first coordinates are the head.
    """

    def __init__(self, head_size: int) -> None:
        self.head_size = head_size

    def room(self, dim: int) -> tuple[bool, int]:
        return True, 0

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        head = min(self.head_size, draws.shape[1])
        if head == 0:
            return MetricValues(DIAGONAL, fisher_scale(draws, gradients))
        full = fisher_covariance(draws, gradients)
        variance, inner, cross = numpy.diag(full), full[:head, :head], full[:head, head:]
        slopes = numpy.linalg.solve(inner, cross)
        left = numpy.maximum(variance[head:] - (cross * slopes).sum(axis=0), 1e-10 * variance[head:])
        covariance = full.copy()
        covariance[head:, head:] = slopes.T @ cross + numpy.diag(left)
        return dense_values(covariance, variance)
