"""Block metrics: dense among the coordinates of each block, diagonal for all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.metrics.base import Metric, MetricValues
from pyroxene.infer.mcmc.metrics.dense import dense_values
from pyroxene.infer.mcmc.metrics.fisher import fisher_covariance, fisher_scale

__all__ = ["BlockMetric"]


class BlockMetric(Metric):
    """Inverse mass = dense within each block, diagonal elsewhere, nothing between, of least Fisher divergence; final.

    Args:
        blocks: for each block the indices of its coordinates in the flat position.

    Raises:
        UsageError: two blocks share a coordinate.
    """

    def __init__(self, blocks: Sequence[Sequence[int] | numpy.ndarray]) -> None:
        self.blocks = [numpy.asarray(block, dtype=numpy.int64) for block in blocks]
        taken = numpy.concatenate([*self.blocks, numpy.empty(0, dtype=numpy.int64)])
        if len(set(taken.tolist())) < len(taken):
            raise UsageError(
                "two blocks of the mass matrix share a coordinate",
                expected="each coordinate in one block at most",
                got=f"blocks {[block.tolist() for block in self.blocks]}",
                hint="name each site once in full_mass",
            )

    def room(self, dim: int) -> tuple[bool, int]:
        return True, 0

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        variance = fisher_scale(draws, gradients) ** 2
        covariance = numpy.diag(variance)
        for block in self.blocks:
            covariance[numpy.ix_(block, block)] = fisher_covariance(draws[:, block], gradients[:, block])
        return dense_values(covariance, variance)
