"""The dense or diagonal metric of least Fisher divergence in few dimensions, in C."""

from __future__ import annotations

import numpy

from pyroxene.errors import CompilerError
from pyroxene.infer.mcmc.library import sampler_library
from pyroxene.infer.mcmc.metrics.base import DENSE, DIAGONAL, MetricValues
from pyroxene.infer.mcmc.metrics.fisher import CONSTANT_SLOPE, LARGEST, SHRINKAGE, SMALLEST

__all__ = ["least_divergence"]


def least_divergence(draws: numpy.ndarray, gradients: numpy.ndarray, round_up_to: float) -> MetricValues | None:
    """Return what `AutoMetric.reference` returns, to rounding.

    Args:
        draws: shape (num_draws, dim).
        gradients: the same shape.
        round_up_to: where all eigenvalues after the diagonal are between its inverse and it, the diagonal stays.

    Returns:
        The metric; None where there is no compiler, or numbers are not finite or beyond what variances may be.
    """
    try:
        library = sampler_library()
    except CompilerError:
        return None
    count, dim = draws.shape
    draws, gradients = numpy.ascontiguousarray(draws), numpy.ascontiguousarray(gradients)
    numbers = numpy.array([SMALLEST, LARGEST, CONSTANT_SLOPE, SHRINKAGE, round_up_to])  # `fisher_numbers` of fisher.h
    work = numpy.empty(dim * (2 * (count + 4) + 3 * dim + 3))
    scale, factor = numpy.empty(dim), numpy.empty((dim, dim))
    kind = library.sampler_least_divergence(
        draws.ctypes.data, gradients.ctypes.data, count, dim,
        *(array.ctypes.data for array in (numbers, work, scale, factor)),
    )  # fmt: skip
    if kind == DIAGONAL:
        return MetricValues(DIAGONAL, scale)
    return MetricValues(DENSE, numpy.ones(dim), factor) if kind == DENSE else None
