"""The low-rank metric by Fisher divergence: a diagonal, and the few directions that it does not explain."""

from __future__ import annotations

import numpy

from pyroxene.infer.mcmc.metrics.base import DIAGONAL, LOW_RANK, Metric, MetricValues
from pyroxene.infer.mcmc.metrics.diagonal import regularised_variance
from pyroxene.infer.mcmc.metrics.fisher import Sample

__all__ = ["LowRankMetric"]

_MOST_DRAWS = 100
"""Draws that the leading directions are sought in, so that their search costs milliseconds in any dimension."""

_DRAWS_A_DIRECTION, _FEWEST_DIRECTIONS = 3, 8
"""So many draws are asked for each direction sought, so that early searches are cheap and find what is there."""

_ENOUGH_DRAWS = 30
"""Draws from which on directions are sought where there are as many dimensions; before, the diagonal serves."""

_ON_ITS_WAY = 0.3
"""Where gradients, each scaled to length one, have a mean whose squared length is beyond this, the chain is still
falling towards the posterior: in settled windows it is below 0.2 after 70 draws and 0.01 after 200. A direction in
which it falls would be taken for narrow, and the chain then stands still there for good: of a stochastic volatility
that starts at a log density of -1e57 two chains in eight did. The diagonal brings it down."""

_HEAVY = 4.0
"""Draws of a normal vary in each direction as much as their gradients say. Where in some direction their variance is so
many times as large, tails are heavy or widths change from place to place: gradients then tell of the narrow places
alone, and directions found in one window mislead in the next. The metric is then the diagonal by variances. Of a
horseshoe regression 2 of 10 runs did not converge, with the directions 9 of 20, and the others had four times the
effective draws."""


def _drift(forces: numpy.ndarray) -> float:
    """Return the squared length of the mean direction of forces of shape (count, dim): 1 where all point one way."""
    largest = numpy.abs(forces).max(axis=1, keepdims=True)
    directions = forces / numpy.maximum(largest, 1e-300)
    directions /= numpy.sqrt(numpy.maximum(numpy.einsum("ni,ni->n", directions, directions), 1e-300))[:, None]
    mean = directions.mean(axis=0)
    return float(mean @ mean)


class LowRankMetric(Metric):
    """Inverse mass = D (I + U (L - I) U^T) D with D the Fisher diagonal; final.

    After scaling by D, draws and gradients are looked at in the space that their leading directions span. There the
    matrix that minimises the Fisher divergence is the geometric mean of the draws' covariance and the inverse of the
    gradients'. Directions whose eigenvalue is near one are left out, so that a posterior that needs none costs none.

    Args:
        max_rank: the most directions kept. An item response model in 240 dimensions wants some hundred: with 128 its
            effective draws per gradient are twice those with 64.
        cutoff: an eigenvalue between its inverse and it counts as one.
        shrinkage: draws' worth of identity that both covariances are drawn to.

    Source: Seyboldt, Carlson and Carpenter 2026, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher
    Divergence".
    """

    def __init__(self, max_rank: int = 128, cutoff: float = 2.0, shrinkage: float = 1.0) -> None:
        self.max_rank = max_rank
        self.cutoff = cutoff
        self.shrinkage = shrinkage

    def room(self, dim: int) -> tuple[bool, int]:
        return False, min(dim, self.max_rank)

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        count, dim = draws.shape
        sample = Sample.of(draws, gradients)
        scale = sample.scale
        if dim == 1 or count < min(dim, _ENOUGH_DRAWS) or not numpy.isfinite(sample.slopes.sum()):
            return MetricValues(DIAGONAL, scale)
        if _drift(gradients * scale) > _ON_ITS_WAY:
            return MetricValues(DIAGONAL, scale)
        try:
            basis = self._span(sample)
            mean = sample.stretch(self.shrinkage, basis)
            values, vectors = numpy.linalg.eigh(mean)
        except numpy.linalg.LinAlgError:
            return MetricValues(DIAGONAL, scale)
        seen = vectors.T @ (sample.positions if basis is None else basis.T @ sample.positions)
        if count >= dim and (numpy.einsum("in,in->i", seen, seen) > _HEAVY * count * values).any():
            return MetricValues(DIAGONAL, numpy.sqrt(regularised_variance(draws)))
        strength = numpy.abs(numpy.log(numpy.maximum(values, 1e-30)))
        chosen = numpy.argsort(-strength)[: self.max_rank]
        chosen = chosen[strength[chosen] > numpy.log(self.cutoff)]
        if len(chosen) == 0:
            return MetricValues(DIAGONAL, scale)
        rows = vectors[:, chosen].T if basis is None else (basis @ vectors[:, chosen]).T
        shrink = numpy.sqrt(numpy.maximum(values[chosen], 1e-30)) - 1.0
        return MetricValues(LOW_RANK, scale, numpy.ascontiguousarray(rows), shrink)

    def _span(self, sample: Sample) -> numpy.ndarray | None:
        """Return an orthonormal basis of the leading directions, shape (dim, n); None for the whole space.

        The directions that matter are those where draws or gradients spread far beyond one. They lead in the span of
        both together, whose basis comes from the small matrix of their products.
        """
        dim, count = sample.positions.shape
        if dim <= self.max_rank:
            return None
        every = -(-count // _MOST_DRAWS)
        rank = min(self.max_rank, max(_FEWEST_DIRECTIONS, count // _DRAWS_A_DIRECTION))
        both = numpy.concatenate([sample.positions[:, ::every], sample.slopes[:, ::every]], axis=1)
        squares, mixtures = numpy.linalg.eigh(both.T @ both)
        squares, mixtures = squares[-rank:], mixtures[:, -rank:]
        kept = squares > 1e-8 * squares[-1]
        return both @ (mixtures[:, kept] / numpy.sqrt(squares[kept]))
