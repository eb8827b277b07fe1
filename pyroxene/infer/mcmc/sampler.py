"""What every sampler offers, in C or in Python: start, run, adapt, and a record of its draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy

from pyroxene.infer.mcmc.metrics.base import MetricValues

__all__ = ["COLLAPSED_STEP", "COUNTERS", "STATISTICS", "Evaluate", "Outcome", "Recording", "Sampler"]

STATISTICS = ("accept_prob", "step_size", "tree_depth", "num_steps", "energy", "diverging", "log_density")
"""Columns of a recording's statistics, in the order of csrc/sampler.h."""

COUNTERS = ("draws", "leapfrogs", "divergences", "phase")
"""The first entries of a chain's row of counters, in the order of csrc/sampler.h; a row is a cache line of 8."""

COLLAPSED_STEP = 1e-10
"""A step size below this moves no position: doubles have 16 digits, a trajectory 1e3 steps. So in csrc/trajectory.h."""

Evaluate = Callable[[numpy.ndarray], tuple[Any, Any]]
"""From a position (dim,) to its log density and gradient (dim,)."""


class Outcome:
    """How a run ended: FINISHED with all its draws, STOPPED by the flag, or IMPOSSIBLE to start where it was put."""

    FINISHED, STOPPED, IMPOSSIBLE = 0, 1, 2


class Recording:
    """Arrays that a run writes its draws to; final.

    Args:
        num_draws: how many draws are wanted.
        dim: of the positions.
        counters: the chain's row of counters, int64 of shape (8,), shared with the progress line.
        thinning: keep every so many draws.
        with_gradients: record the gradient at each draw as well; warm-up wants it.
        divergence_capacity: how many positions of divergences are kept; further ones are only counted.

    Attributes:
        lowered: the same as a struct of C, kept by the sampler in C: numpy takes a microsecond to tell an address.
    """

    def __init__(
        self,
        num_draws: int,
        dim: int,
        counters: numpy.ndarray,
        *,
        thinning: int = 1,
        with_gradients: bool = False,
        divergence_capacity: int = 100,
    ) -> None:
        self.wanted = num_draws
        self.thinning = thinning
        self.counters = counters
        self.positions = numpy.empty((num_draws, dim))
        self.gradients = numpy.empty((num_draws, dim)) if with_gradients else None
        self.statistics = numpy.empty((num_draws, len(STATISTICS)))
        self.divergences = numpy.empty((divergence_capacity, dim))
        self.divergence_draws = numpy.empty(divergence_capacity, dtype=numpy.int64)
        self.recorded = 0
        self.seen = 0
        self.divergence_count = 0
        self.lowered: Any = None

    def extend(self, num_draws: int) -> None:
        """Ask for so many draws more, within the room that was made."""
        self.wanted = min(self.recorded + num_draws, len(self.positions))


class Sampler(ABC):
    """Abstract: one chain's state and how it moves; positions and metrics are numpy arrays of doubles.

    Implementing a sampler: define every method below; from equal states and random numbers a transition must agree
    with `trajectory.nuts_transition` or `trajectory.hmc_transition`.
    """

    dim: int

    @abstractmethod
    def start(self, position: numpy.ndarray) -> None:
        """Put the chain at a position, shape (dim,); it is evaluated when the chain next runs."""

    @abstractmethod
    def run(self, evaluate: Evaluate, out: Recording, stop: numpy.ndarray) -> int:
        """Draw until the recording has what it wants; where it wants nothing, evaluate the start only.

        Args:
            evaluate: the log density and its gradient.
            out: where the draws go.
            stop: an int32 array of one element; the run ends soon after it is set to 1.

        Returns:
            One of `Outcome`.
        """

    @abstractmethod
    def set_metric(self, values: MetricValues) -> None:
        """Change the metric; only between draws."""

    @abstractmethod
    def search(self) -> None:
        """Look for the step size's order of magnitude before the next transition, and begin averaging around it."""

    @abstractmethod
    def restart_averaging(self, center_factor: float) -> None:
        """Begin dual averaging anew, drawn towards `center_factor` times the present step size."""

    @abstractmethod
    def set_limits(self, *, adapting: bool, max_depth: int) -> None:
        """Say whether the step size adapts after each draw, and how often a trajectory may double."""

    @property
    @abstractmethod
    def step_size(self) -> float:
        """The step size of the next transition."""

    @step_size.setter
    @abstractmethod
    def step_size(self, value: float) -> None: ...

    @property
    @abstractmethod
    def mean_step_size(self) -> float:
        """The averaged step size of dual averaging, to be used after warm-up."""

    @property
    @abstractmethod
    def leapfrogs(self) -> int:
        """How many gradients the chain has used, the one at its start not counted."""

    @property
    @abstractmethod
    def draw(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Copies of the chain's position and of the gradient there, each of shape (dim,)."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Everything that the next draws depend on, as plain values and tensors."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another sampler of the same kind and dimension stood.

        Raises:
            UsageError: the state is of another kind or dimension.
        """
