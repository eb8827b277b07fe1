"""The arrowhead metric: some head coordinates correlate with all, the others only with the head."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import Metric, MetricValues
from pyroxene.infer.mcmc.metrics.dense import dense_values, regularised_covariance
from pyroxene.infer.mcmc.metrics.diagonal import regularised_variance

__all__ = ["ArrowheadMetric"]


class ArrowheadMetric(Metric):
    """Mass matrix (not its inverse) = an arrowhead: dense in its first rows and columns, diagonal below; final.

    Given the head, the other coordinates are independent in the estimate: their inverse covariance has no entries off
    its diagonal, as in a hierarchy whose hyperparameters come first.

    Args:
        head_size: how many of the first coordinates are the head.
    """

    def __init__(self, head_size: int) -> None:
        self.head_size = head_size

    def room(self, dim: int) -> tuple[bool, int]:
        return True, 0

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        head = min(self.head_size, draws.shape[1])
        centered = draws - draws.mean(axis=0)
        covariance = numpy.diag(variance := regularised_variance(draws))
        if head:
            covariance[:head, :head] = inner = regularised_covariance(draws[:, :head])
            shrink = len(draws) / (len(draws) + 5.0) / (len(draws) - 1)
            cross = centered[:, :head].T @ centered[:, head:] * shrink
            slopes = numpy.linalg.solve(inner, cross)
            left = numpy.maximum(variance[head:] - (cross * slopes).sum(axis=0), 1e-10 * variance[head:])
            covariance[:head, head:], covariance[head:, :head] = cross, cross.T
            covariance[head:, head:] = slopes.T @ cross + numpy.diag(left)
        return dense_values(covariance, variance)

    def smallest_window(self, dim: int) -> int:
        return max(10, 2 * self.head_size)
