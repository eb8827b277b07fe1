"""The dense or diagonal metric of least Fisher divergence in few dimensions, in C."""

from __future__ import annotations

import itertools

import numpy

from pyroxene.errors import CompilerError
from pyroxene.infer.mcmc.library import sampler_library
from pyroxene.infer.mcmc.metrics.base import DENSE, DIAGONAL, MetricValues
from pyroxene.infer.mcmc.metrics.fisher import CONSTANT_SLOPE, LARGEST, SHRINKAGE, SMALLEST

__all__ = ["least_divergence"]

_NUMBERS = (SMALLEST, LARGEST, CONSTANT_SLOPE, SHRINKAGE)
"""The first of the struct `fisher_numbers` of csrc/fisher.h."""


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
    sizes = (len(_NUMBERS) + 1, dim, dim * dim, dim * (2 * (count + 4) + 3 * dim + 3))  # the last is scratch memory
    memory = numpy.empty(sum(sizes))  # one array: numpy takes a microsecond to tell an address
    places = list(itertools.accumulate(sizes[:3]))
    memory[: sizes[0]] = (*_NUMBERS, round_up_to)
    first = memory.ctypes.data
    scale, factor, work = (first + place * memory.itemsize for place in places)
    kind = library.sampler_least_divergence(
        draws.ctypes.data, gradients.ctypes.data, count, dim, first, work, scale, factor
    )
    if kind == DIAGONAL:
        return MetricValues(DIAGONAL, memory[places[0] : places[1]].copy())
    if kind == DENSE:
        return MetricValues(DENSE, numpy.ones(dim), memory[places[1] : places[2]].reshape(dim, dim).copy())
    return None
