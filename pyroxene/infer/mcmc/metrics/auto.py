"""The default metric: diagonal where that is enough, dense where that is cheap, low-rank beyond."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import DIAGONAL, Metric, MetricValues
from pyroxene.infer.mcmc.metrics.dense import dense_values
from pyroxene.infer.mcmc.metrics.fisher import whitened_covariance
from pyroxene.infer.mcmc.metrics.in_c import least_divergence
from pyroxene.infer.mcmc.metrics.low_rank import LowRankMetric

__all__ = ["AutoMetric"]

DENSE_UP_TO = 100
"""Dimensions in which a dense estimate costs milliseconds and a dense factor less than most gradients."""

IN_C_UP_TO = 16
"""Dimensions in which numpy's calls cost more than their arithmetic: 30 us in C are 110 in numpy at dimension 10."""

ROUND = 1.5
"""Where, after the diagonal, all eigenvalues are between its inverse and it, the diagonal stays: the matrix would gain
less than it costs. With 2 a Gaussian process of three parameters had 75 effective draws per thousand gradients, with
1.5 it has 117; other posteriors show no difference."""


class AutoMetric(Metric):
    """The metric of least Fisher divergence in a form that pays; final. `benchmarks/mcmc/metrics.py` chose it."""

    def __init__(self) -> None:
        self._beyond = LowRankMetric()

    def room(self, dim: int) -> tuple[bool, int]:
        return (True, 0) if dim <= DENSE_UP_TO else self._beyond.room(dim)

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        dim = draws.shape[1]
        if dim > DENSE_UP_TO:
            return self._beyond.update(draws, gradients)
        found = least_divergence(draws, gradients, ROUND) if dim <= IN_C_UP_TO else None
        return self.reference(draws, gradients) if found is None else found

    @staticmethod
    def reference(draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        """Return the estimate up to `DENSE_UP_TO` dimensions as numpy has it; what runs in C is held equal to it."""
        scale, mean = whitened_covariance(draws, gradients)
        eigenvalues = numpy.linalg.eigvalsh(mean)
        if eigenvalues[0] > 1.0 / ROUND and eigenvalues[-1] < ROUND:
            return MetricValues(DIAGONAL, scale)
        return dense_values(mean * scale[:, None] * scale, scale**2)
