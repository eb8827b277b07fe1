"""Gaussian functions that need not be densities: their algebra, and their products along a chain."""

from __future__ import annotations

from pyroxene.ops.gaussian.affine import AffineNormal
from pyroxene.ops.gaussian.canonical import Gaussian, gaussian_tensordot
from pyroxene.ops.gaussian.chain import sequential_gaussian_filter_sample, sequential_gaussian_tensordot
from pyroxene.ops.gaussian.convert import (
    matrix_and_gaussian_to_gaussian,
    matrix_and_mvn_to_gaussian,
    mvn_to_gaussian,
)

__all__ = [
    "AffineNormal",
    "Gaussian",
    "gaussian_tensordot",
    "matrix_and_gaussian_to_gaussian",
    "matrix_and_mvn_to_gaussian",
    "mvn_to_gaussian",
    "sequential_gaussian_filter_sample",
    "sequential_gaussian_tensordot",
]
