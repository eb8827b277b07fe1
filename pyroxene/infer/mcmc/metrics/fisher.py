"""Estimates by Fisher divergence, from draws and gradients together, and the diagonal metric by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy

from pyroxene.infer.mcmc.metrics.base import DIAGONAL, Metric, MetricValues

__all__ = [
    "FisherMetric",
    "Sample",
    "fisher_covariance",
    "fisher_scale",
    "geometric_mean",
    "scale_from_gradient",
    "whitened_covariance",
]

SMALLEST, LARGEST = 1e-20, 1e20
"""Where variances are cut off."""

SHRINKAGE = 1.0
"""Draws' worth of the identity that dense estimates are drawn to."""

CONSTANT_SLOPE = 0.1
"""The share of its squared mean that counts as a gradient's spread, beside its variance. Over a posterior the mean is
zero. Over a window in which a coordinate of a Laplace posterior has not yet crossed its middle the gradient is constant
there: by its variance alone the coordinate would be infinitely wide, and chains never recovered."""

_FLAT = 1e-6
"""Where no slope exceeds this, the start is taken for a mode rather than for a posterior a thousand wide."""


@dataclass(frozen=True)
class Sample:
    """Draws and gradients less their means, in units of the diagonal that fits them; final.

    Coordinates are rows: sums over draws then run through memory in order, in a third of the time.

    Attributes:
        scale: the Fisher diagonal, shape (dim,): see `fisher_scale`.
        positions: draws less their mean, divided by the scale, shape (dim, num_draws).
        slopes: gradients less their mean, times the scale, the same shape.
        constant: what the gradients' means add to their variances, in the same units, shape (dim,).
    """

    scale: numpy.ndarray
    positions: numpy.ndarray
    slopes: numpy.ndarray
    constant: numpy.ndarray

    @staticmethod
    def of(draws: numpy.ndarray, gradients: numpy.ndarray) -> Sample:
        """Return the sample of draws and gradients, each of shape (num_draws, dim)."""
        count, dim = draws.shape
        both = numpy.empty((2, dim, count))
        both[0], both[1] = draws.T, gradients.T
        means = both.sum(axis=2) / count
        both -= means[:, :, None]
        spreads = numpy.einsum("kin,kin->ki", both, both) / count
        constant = CONSTANT_SLOPE * means[1] ** 2
        spreads[1] += constant
        spreads = numpy.minimum(numpy.maximum(spreads, SMALLEST), LARGEST)
        scale = numpy.sqrt(numpy.sqrt(spreads[0] / spreads[1]))
        both[0] /= scale[:, None]
        both[1] *= scale[:, None]
        return Sample(scale, both[0], both[1], constant * scale**2)

    def stretch(self, shrinkage: float, basis: numpy.ndarray | None = None) -> numpy.ndarray:
        """Return the matrix of least Fisher divergence, shape (n, n), positive definite.

        It is the geometric mean of the draws' covariance and the inverse of the gradients'. For a normal both are the
        covariance, and their errors cancel: the estimate is all but exact once there are more draws than dimensions.

        Args:
            shrinkage: draws' worth of the identity that both covariances are drawn to.
            basis: orthonormal columns, shape (dim, n), of the space that is looked at; None: all of it.

        Raises:
            numpy.linalg.LinAlgError: numbers are so large that rounding leaves a covariance indefinite.

        Source: Seyboldt, Carlson and Carpenter 2026.
        """
        pair = []
        for sample in (self.positions, self.slopes):
            seen = sample if basis is None else basis.T @ sample
            pair.append(seen @ seen.T)
        count = self.positions.shape[1]
        if basis is None:
            _diagonal(pair[1])[:] += count * self.constant
        else:
            pair[1] += (basis.T * (count * self.constant)) @ basis
        for total in pair:
            _diagonal(total)[:] += shrinkage
            total /= count + shrinkage
        return geometric_mean(*pair)


def _diagonal(matrix: numpy.ndarray) -> numpy.ndarray:
    """Return a view of a matrix' diagonal that may be written to."""
    return matrix.ravel()[:: len(matrix) + 1]


def fisher_scale(draws: numpy.ndarray, gradients: numpy.ndarray) -> numpy.ndarray:
    """Return the diagonal factor that minimises the Fisher divergence to a standard normal.

    For independent normals gradients have the variance 1 / variance of the draws, so that both say the same and the
    estimate is all but exact from a handful of draws: its error comes from correlation alone.

    Args:
        draws: shape (num_draws, dim).
        gradients: the same shape.

    Returns:
        The fourth root of var(draws) / var(gradients), shape (dim,), finite and positive.

    Source: Seyboldt, Carlson and Carpenter 2026, "Preconditioning Hamiltonian Monte Carlo by minimizing Fisher
    Divergence": M^-1 = sqrt(var(draws) / var(gradients)).
    """
    return Sample.of(draws, gradients).scale


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
    logs = numpy.log(numpy.minimum(numpy.maximum(size, SMALLEST), LARGEST))
    steep = numpy.sort(logs[size > 0.0])
    middle = 0.5 * (steep[(len(steep) - 1) // 2] + steep[len(steep) // 2])  # the median; numpy's own costs 60 us
    return numpy.exp(-0.5 * numpy.minimum(numpy.maximum(logs, middle - 7.0), middle + 14.0))


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


def whitened_covariance(draws: numpy.ndarray, gradients: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return the inverse mass matrix of least Fisher divergence as a diagonal factor and what is left after it.

    Args:
        draws: shape (num_draws, dim).
        gradients: the same shape.

    Returns:
        d of shape (dim,) and S of shape (dim, dim), positive definite, with the matrix diag(d) S diag(d).
    """
    with numpy.errstate(over="ignore", invalid="ignore"):
        sample = Sample.of(draws, gradients)
        try:
            mean = sample.stretch(SHRINKAGE)
        except numpy.linalg.LinAlgError:
            mean = numpy.eye(len(sample.scale))
    return sample.scale, mean if numpy.isfinite(mean).all() else numpy.eye(len(sample.scale))


def fisher_covariance(draws: numpy.ndarray, gradients: numpy.ndarray) -> numpy.ndarray:
    """Return the inverse mass matrix of least Fisher divergence, shape (dim, dim): see `Sample.stretch`."""
    scale, mean = whitened_covariance(draws, gradients)
    return mean * scale[:, None] * scale


class FisherMetric(Metric):
    """Inverse mass = sqrt(var(draws) / var(gradients)) for each coordinate; final."""

    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        return MetricValues(DIAGONAL, fisher_scale(draws, gradients))

    def smallest_window(self, dim: int) -> int:
        return 4
