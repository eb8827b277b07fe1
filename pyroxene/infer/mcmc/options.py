"""What a sampler is told: the algorithm, its step size, its metric, its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pyroxene.errors import UsageError

__all__ = ["DEEPEST_TREE", "SamplerOptions"]

DEEPEST_TREE = 20
"""The largest max_tree_depth: MAX_DEPTH of csrc/sampler.h, a million leapfrogs."""


@dataclass(frozen=True)
class SamplerOptions:
    """How chains move and adapt; final.

    Attributes:
        algorithm: "nuts" or "hmc".
        step_size: the first step size, in units of whitened space.
        trajectory_length: of HMC, step size times steps; one of this and `num_steps` is given.
        num_steps: leapfrogs of one HMC trajectory.
        adapt_step_size: whether warm-up adapts the step size.
        adapt_mass_matrix: whether warm-up adapts the metric.
        metric: "auto", "diagonal", "fisher", "low_rank", "dense", ("block", [indices, ...]), ("arrowhead", head size),
            or a `metrics.Metric`.
        target_accept_prob: what the step size is adapted to.
        max_tree_depth: doublings of a trajectory at most, in warm-up and after it.
        use_multinomial: draw by weights along the trajectory; otherwise by a slice.
        initial_inverse_mass: variances, shape (dim,), or a covariance, shape (dim, dim).
        warmup: "windows" (ours, the default) or "stan".

    Raises:
        UsageError: an option is out of its range.
    """

    algorithm: str = "nuts"
    step_size: float = 1.0
    trajectory_length: float | None = None
    num_steps: int | None = None
    adapt_step_size: bool = True
    adapt_mass_matrix: bool = True
    metric: str | Sequence[Any] | Any = "auto"
    target_accept_prob: float = 0.8
    max_tree_depth: tuple[int, int] = (10, 10)
    use_multinomial: bool = True
    initial_inverse_mass: torch.Tensor | None = None
    warmup: str = "windows"

    def __post_init__(self) -> None:
        def require(fine: bool, name: str, expected: str) -> None:
            if not fine:
                raise UsageError(f"{name} cannot be used", expected=expected, got=getattr(self, name))

        require(self.algorithm in ("nuts", "hmc"), "algorithm", "'nuts' or 'hmc'")
        require(self.warmup in ("windows", "stan"), "warmup", "'windows' or 'stan'")
        require(0.0 < self.step_size < float("inf"), "step_size", "a positive number")
        require(0.0 < self.target_accept_prob < 1.0, "target_accept_prob", "a number between 0 and 1")
        depths = f"two integers from 1 to {DEEPEST_TREE}: in warm-up, and after it"
        require(len(self.max_tree_depth) == 2, "max_tree_depth", depths)
        require(all(1 <= depth <= DEEPEST_TREE for depth in self.max_tree_depth), "max_tree_depth", depths)
        if self.algorithm == "hmc":
            require(self.num_steps is None or self.num_steps >= 1, "num_steps", "at least one leapfrog")
            length = self.trajectory_length
            require(length is None or length > 0.0, "trajectory_length", "a positive number")
            require(self.num_steps is not None or length is not None, "num_steps", "num_steps or trajectory_length")
