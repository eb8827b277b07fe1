"""What a metric is to the sampler (numbers) and to warm-up (an estimate from a window of draws)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy
import torch

__all__ = ["DENSE", "DIAGONAL", "LOW_RANK", "Metric", "MetricValues"]

DIAGONAL, DENSE, LOW_RANK = 0, 1, 2
"""Kinds of factors that the sampler knows, numbered as in csrc/sampler.h."""


@dataclass(frozen=True)
class MetricValues:
    """A factor F of the inverse mass matrix, F F^T = M^-1; final.

    Attributes:
        kind: DIAGONAL: F = diag(scale). DENSE: F = matrix, lower triangular.
            LOW_RANK: F = diag(scale) (I + U diag(shrink) U^T).
        scale: shape (dim,); ones where the kind is DENSE.
        matrix: DENSE: shape (dim, dim). LOW_RANK: the orthonormal columns of U as rows, shape (rank, dim).
        shrink: LOW_RANK: square roots of the eigenvalues, less one, shape (rank,).
    """

    kind: int
    scale: numpy.ndarray
    matrix: numpy.ndarray | None = None
    shrink: numpy.ndarray | None = None

    @property
    def rank(self) -> int:
        """How many directions a low-rank factor stretches; 0 for the other kinds."""
        return len(self.shrink) if self.shrink is not None else 0

    def to_position(self, momentum: numpy.ndarray) -> numpy.ndarray:
        """Return F p: the velocity of a whitened momentum, shape (dim,)."""
        if self.kind == DENSE:
            return self.matrix @ momentum
        return self.scale * self._stretch(momentum)

    def to_momentum(self, gradient: numpy.ndarray) -> numpy.ndarray:
        """Return F^T g: the force in whitened space, shape (dim,)."""
        if self.kind == DENSE:
            return self.matrix.T @ gradient  # type: ignore[union-attr]  # DENSE comes with a matrix
        return self._stretch(self.scale * gradient)

    def _stretch(self, vector: numpy.ndarray) -> numpy.ndarray:
        if self.kind != LOW_RANK:
            return vector
        return vector + self.matrix.T @ (self.shrink * (self.matrix @ vector))  # type: ignore[union-attr]

    def inverse_mass(self) -> numpy.ndarray:
        """Return M^-1 = F F^T: its diagonal, shape (dim,), for a DIAGONAL factor, else shape (dim, dim)."""
        if self.kind == DIAGONAL:
            return self.scale**2
        factor = numpy.stack([self.to_position(row) for row in numpy.eye(len(self.scale))], axis=1)
        return factor @ factor.T

    def row_norms(self) -> numpy.ndarray:
        """Return the norms of F's rows, shape (dim,): how far a momentum of length one moves each coordinate."""
        if self.kind == DENSE:
            assert self.matrix is not None
            return numpy.sqrt(numpy.einsum("ij,ij->i", self.matrix, self.matrix))
        stretched = numpy.ones(len(self.scale))
        if self.kind == LOW_RANK:
            assert self.matrix is not None and self.shrink is not None
            stretched += numpy.einsum("ki,ki,k->i", self.matrix, self.matrix, (2.0 + self.shrink) * self.shrink)
        return self.scale * numpy.sqrt(numpy.maximum(stretched, 0.0))

    def state_dict(self) -> dict[str, Any]:
        """Return the kind, and the arrays as tensors."""
        arrays = {name: getattr(self, name) for name in ("scale", "matrix", "shrink")}
        tensors = {name: torch.tensor(array) for name, array in arrays.items() if array is not None}
        return {"kind": self.kind, **tensors}

    @staticmethod
    def from_state_dict(state: dict[str, Any]) -> MetricValues:
        """Return the values that `state_dict` was taken of."""
        return MetricValues(**{key: item.numpy() if key != "kind" else item for key, item in state.items()})


class Metric(ABC):
    """Abstract: a way to estimate an inverse mass matrix from draws and the gradients at them.

    Implementing a metric: define `update`, which looks at a window and returns values for the sampler, and say in
    `needs` what the sampler has to have room for.
    """

    def room(self, dim: int) -> tuple[bool, int]:
        """Say what the sampler makes room for: whether a dense factor comes, and the largest rank."""
        return False, 0

    @abstractmethod
    def update(self, draws: numpy.ndarray, gradients: numpy.ndarray) -> MetricValues:
        """Estimate the metric.

        Args:
            draws: positions, shape (num_draws, dim), at least two.
            gradients: of the log density at them, the same shape.

        Returns:
            Values that are finite and positive whatever the window holds.
        """

    def smallest_window(self, dim: int) -> int:
        """Say from how many draws on the estimate is better than what it replaces."""
        return 5

    def state_dict(self) -> dict[str, Any]:
        """What the metric remembers between windows: nothing, unless a metric says otherwise."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        assert not state, "this metric remembers nothing"
