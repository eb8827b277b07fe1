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

_SMALLEST, _LARGEST = 1e-20, 1e20

_CONSTANT_SLOPE = 0.1
"""The share of its squared mean that counts as a gradient's spread, beside its variance. Over a posterior the mean is
zero. Over a window in which a coordinate of a Laplace posterior has not yet crossed its middle the gradient is constant
there: by its variance alone the coordinate would be infinitely wide, and chains never recovered."""

_FLAT = 1e-6
"""Where no slope exceeds this, the start is taken for a mode rather than for a posterior a thousand wide."""


@dataclass(frozen=True)
class Sample:
    """Draws and gradients less their means, in units of the diagonal that fits them; final.

    Attributes:
        scale: the Fisher diagonal, shape (dim,): see `fisher_scale`.
        positions: draws less their mean, divided by the scale, shape (num_draws, dim).
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
        mean = gradients.mean(axis=0)
        positions, slopes, constant = draws - draws.mean(axis=0), gradients - mean, _CONSTANT_SLOPE * mean**2
        spread, slope = (numpy.einsum("ni,ni->i", sample, sample) / len(draws) for sample in (positions, slopes))
        ratio = numpy.clip(spread, _SMALLEST, _LARGEST) / numpy.clip(slope + constant, _SMALLEST, _LARGEST)
        scale = numpy.sqrt(numpy.sqrt(ratio))
        positions /= scale
        slopes *= scale
        return Sample(scale, positions, slopes, constant * scale**2)

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
            seen = sample if basis is None else sample @ basis
            pair.append(seen.T @ seen)
        pair[1] += len(self.slopes) * (
            numpy.diag(self.constant) if basis is None else (basis.T * self.constant) @ basis
        )
        for total in pair:
            total.ravel()[:: len(total) + 1] += shrinkage  # its diagonal
            total /= len(self.positions) + shrinkage
        return geometric_mean(*pair)


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
    logs = numpy.log(numpy.clip(size, _SMALLEST, _LARGEST))
    middle = numpy.log(numpy.clip(numpy.median(size[size > 0.0]), _SMALLEST, _LARGEST))
    return numpy.exp(-0.5 * numpy.clip(logs, middle - 7.0, middle + 14.0))


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
            mean = sample.stretch(shrinkage=1.0)
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
