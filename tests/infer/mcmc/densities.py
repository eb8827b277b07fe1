"""Densities with known answers, in numpy and in C, as the sampler's tests and nobody else need them."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable

import numpy
import torch

from pyroxene.compiler.engines.native.build import load_library

SOURCE = r"""
#include <math.h>
/* context: dim, then the precision matrix */
double normal(const double *z, double *gradient, void *context) {
    const double *precision = (double *)context + 1;
    const int dim = (int)*(double *)context;
    double value = 0.0;
    for (int i = 0; i < dim; i++) {
        double slope = 0.0;
        for (int j = 0; j < dim; j++) slope += precision[i * dim + j] * z[j];
        gradient[i] = -slope;
        value -= 0.5 * slope * z[i];
    }
    return value;
}
/* context: dim. The first coordinate is the log variance, ~ Normal(0, 3), of the others: Neal 2003 */
double funnel(const double *z, double *gradient, void *context) {
    const int dim = (int)*(double *)context;
    const double precision = exp(-z[0]);
    double square = 0.0;
    for (int i = 1; i < dim; i++) {
        square += z[i] * z[i];
        gradient[i] = -z[i] * precision;
    }
    gradient[0] = -z[0] / 9.0 + 0.5 * square * precision - 0.5 * (dim - 1);
    return -z[0] * z[0] / 18.0 - 0.5 * square * precision - 0.5 * (dim - 1) * z[0];
}
"""


@functools.cache
def library() -> ctypes.CDLL:
    return load_library(SOURCE, name="test_densities")


class Context:
    def __init__(self, numbers: numpy.ndarray) -> None:
        self.numbers = numbers
        self.pointer = numbers.ctypes.data


class Function:
    """A native density: an address, and a context for each thread."""

    def __init__(self, name: str, numbers: numpy.ndarray) -> None:
        self.address = ctypes.cast(getattr(library(), name), ctypes.c_void_p).value or 0
        self.numbers = numbers

    def new_context(self) -> Context:
        return Context(self.numbers.copy())


class Density:
    """A density as chains want it; native only where it is asked to be."""

    def __init__(self, function: Callable, dim: int, name: str, numbers: numpy.ndarray, native: bool) -> None:
        self.function = function
        self.dim = dim
        self.name = name
        self.numbers = numbers
        self.native = native
        self.calls = 0

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        value, gradient = self.function(z.numpy())
        return torch.tensor(value, dtype=torch.float64), torch.from_numpy(gradient)

    def batched_value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, gradients = zip(*map(self.value_and_grad, z))
        return torch.stack(values), torch.stack(gradients)

    def native_function(self) -> Function | None:
        return Function(self.name, self.numbers) if self.native else None


def normal(covariance: numpy.ndarray, native: bool = False) -> Density:
    precision = numpy.linalg.inv(covariance)

    def function(z: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        slope = precision @ z
        return -0.5 * float(slope @ z), -slope

    dim = len(covariance)
    return Density(function, dim, "normal", numpy.concatenate([[dim], precision.ravel()]), native)


def funnel(dim: int, native: bool = False) -> Density:
    def function(z: numpy.ndarray) -> tuple[float, numpy.ndarray]:
        precision, square = numpy.exp(-z[0]), float(z[1:] @ z[1:])
        gradient = -z * precision
        gradient[0] = -z[0] / 9.0 + 0.5 * square * precision - 0.5 * (dim - 1)
        return -(z[0] ** 2) / 18.0 - 0.5 * square * precision - 0.5 * (dim - 1) * z[0], gradient

    return Density(function, dim, "funnel", numpy.array([float(dim)]), native)


def correlated(dim: int, correlation: float, scales: float = 1.0) -> numpy.ndarray:
    """An equicorrelated covariance whose standard deviations run from 1 to `scales` in even ratios."""
    covariance = numpy.full((dim, dim), correlation) + (1.0 - correlation) * numpy.eye(dim)
    deviations = scales ** numpy.linspace(0.0, 1.0, dim)
    return covariance * numpy.outer(deviations, deviations)


def within(draws: torch.Tensor, truth: float, deviation: float, effective: float, sigmas: float = 6.0) -> bool:
    """Whether a mean over draws is within so many standard errors of the truth; six of them fail once in 5e8."""
    return abs(float(draws.mean()) - truth) < sigmas * deviation / math.sqrt(effective)
