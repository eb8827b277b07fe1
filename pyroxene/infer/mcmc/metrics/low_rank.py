"""The low-rank metric by Fisher divergence: a diagonal, and the few directions that it does not explain."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import DIAGONAL, LOW_RANK, Metric, MetricValues
from pyroxene.infer.mcmc.metrics.fisher import scale_from_variances

__all__ = ["LowRankMetric", "geometric_mean"]

_MOST_DRAWS = 100
"""Draws that the leading directions are sought in, so that their search costs milliseconds in any dimension."""

_ENOUGH_DRAWS = 30
"""Draws from which on directions are sought in high dimension; before, the diagonal serves."""


def geometric_mean(covariance: numpy.ndarray, precision: numpy.ndarray) -> numpy.ndarray:
    """Return the positive definite S with S precision S = covariance, shape (n, n).

    Args:
        covariance: of draws, positive definite, shape (n, n).
        precision: of gradients, which for a normal is the inverse of the draws', the same.

    Source: Pusz and Woronowicz 1975: the geometric mean of `covariance` and the inverse of `precision`.
    """
    lower = numpy.linalg.cholesky(precision)
    squares, turned = numpy.linalg.eigh(lower.T @ covariance @ lower)
    half = numpy.linalg.solve(lower.T, turned * numpy.sqrt(numpy.sqrt(numpy.maximum(squares, 0.0))))
    return half @ half.T


class LowRankMetric(Metric):
    """Inverse mass = D (I + U (L - I) U^T) D with D the Fisher diagonal; final.

    After scaling by D, draws and gradients are looked at in the space that their leading directions span. There the
    matrix that minimises the Fisher divergence is the geometric mean of the draws' covariance and the inverse of the
    gradients'. Directions whose eigenvalue is near one are left out, so that a posterior that needs none costs none.

    Args:
        max_rank: the most directions kept.
        cutoff: an eigenvalue between its inverse and it counts as one.
        shrinkage: draws' worth of identity that both covariances are drawn to.

    Source: Seyboldt, Carlson and Carpenter 2026, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher
    Divergence".
    """

    def __init__(self, max_rank: int = 64, cutoff: float = 2.0, shrinkage: float = 1.0) -> None:
        self.max_rank = max_rank
        self.cutoff = cutoff
        self.shrinkage = shrinkage

    def room(self, dim: int) -> tuple[bool, int]:
        return False, min(dim, self.max_rank)

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        count, dim = draws.shape
        positions, slopes = draws - draws.mean(axis=0), gradients - gradients.mean(axis=0)
        spread, slope = (numpy.einsum("ni,ni->i", sample, sample) / count for sample in (positions, slopes))
        scale = scale_from_variances(spread, slope)
        if dim == 1 or (dim > self.max_rank and count < _ENOUGH_DRAWS) or not numpy.isfinite(slope.sum()):
            return MetricValues(DIAGONAL, scale)
        positions /= scale
        slopes *= scale
        try:
            basis = self._span(positions, slopes)
            mean = geometric_mean(self._covariance(positions, basis), self._covariance(slopes, basis))
            values, vectors = numpy.linalg.eigh(mean)
        except numpy.linalg.LinAlgError:
            return MetricValues(DIAGONAL, scale)
        strength = numpy.abs(numpy.log(numpy.maximum(values, 1e-30)))
        chosen = numpy.argsort(-strength)[: min(self.max_rank, dim)]
        chosen = chosen[strength[chosen] > numpy.log(self.cutoff)]
        if len(chosen) == 0:
            return MetricValues(DIAGONAL, scale)
        rows = vectors[:, chosen].T if basis is None else (basis @ vectors[:, chosen]).T
        shrink = numpy.sqrt(numpy.maximum(values[chosen], 1e-30)) - 1.0
        return MetricValues(LOW_RANK, scale, numpy.ascontiguousarray(rows), shrink)

    def _span(self, positions: numpy.ndarray, slopes: numpy.ndarray) -> numpy.ndarray | None:
        """Return an orthonormal basis of the leading directions, shape (dim, n); None for the whole space.

        The directions that matter are those where draws or gradients spread far beyond one. They lead in the span of
        both together, whose basis comes from the small matrix of their products.
        """
        count, dim = positions.shape
        if dim <= self.max_rank:
            return None
        every = -(-count // _MOST_DRAWS)
        both = numpy.concatenate([positions[::every], slopes[::every]])
        squares, mixtures = numpy.linalg.eigh(both @ both.T)
        squares, mixtures = squares[-self.max_rank :], mixtures[:, -self.max_rank :]
        kept = squares > 1e-8 * squares[-1]
        return both.T @ (mixtures[:, kept] / numpy.sqrt(squares[kept]))

    def _covariance(self, sample: numpy.ndarray, basis: numpy.ndarray | None) -> numpy.ndarray:
        seen = sample if basis is None else sample @ basis
        total = seen.T @ seen
        total.ravel()[:: len(total) + 1] += self.shrinkage  # its diagonal
        return total / (len(sample) + self.shrinkage)
