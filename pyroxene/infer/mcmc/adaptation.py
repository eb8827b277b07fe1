"""Adaptation of step size and mass matrix one draw at a time, for kernels that users write in Python.

NUTS and HMC do not come here: `warmup.py` and `metrics/` adapt them between windows of draws.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from pyroxene._typing import TensorDict
from pyroxene.infer.mcmc.mass_matrices import ArrowheadMassMatrix, BlockMassMatrix
from pyroxene.infer.mcmc.warmup import stan_windows
from pyroxene.ops.dual_averaging import DualAveraging

__all__ = ["ArrowheadMassMatrix", "BlockMassMatrix", "WarmupAdapter", "adapt_window"]


class adapt_window(NamedTuple):  # Pyro's name
    """A stretch of warm-up, its first and last draw.

    Attributes:
        start: number of its first draw.
        end: number of its last draw.
    """

    start: int
    end: int


class WarmupAdapter:
    """Adapts a step size by dual averaging and a mass matrix by windows of draws; final.

    Args:
        step_size: the first step size.
        adapt_step_size: whether it adapts.
        target_accept_prob: what it is adapted to.
        adapt_mass_matrix: whether the mass matrix adapts.
        dense_mass: whether the mass matrix is dense.

    Source: Hoffman and Gelman 2014, The No-U-Turn sampler, section 3.2; the windows are Stan's.
    """

    def __init__(
        self,
        step_size: float = 1,
        adapt_step_size: bool = False,
        target_accept_prob: float = 0.8,
        adapt_mass_matrix: bool = False,
        dense_mass: bool | list[tuple[str, ...]] = False,
    ) -> None:
        self.adapt_step_size = adapt_step_size
        self.adapt_mass_matrix = adapt_mass_matrix
        self.target_accept_prob = target_accept_prob
        self.dense_mass = dense_mass
        self.step_size = 1 if step_size is None else step_size
        self._init_step_size = self.step_size
        self._averaging = DualAveraging()
        self._mass_matrix_adapter: Any = BlockMassMatrix()
        self._schedule: list[adapt_window] = []
        self._window = 0
        self._find: Callable[[TensorDict], float] | None = None
        self._warmup_steps: int | None = None

    @property
    def adaptation_schedule(self) -> list[adapt_window]:
        """The windows of warm-up, in order."""
        return self._schedule

    @property
    def mass_matrix_adapter(self) -> Any:
        """The mass matrix in use: a `BlockMassMatrix` unless another was set."""
        return self._mass_matrix_adapter

    @mass_matrix_adapter.setter
    def mass_matrix_adapter(self, value: Any) -> None:
        self._mass_matrix_adapter = value

    def configure(
        self,
        warmup_steps: int,
        initial_step_size: float | None = None,
        mass_matrix_shape: Mapping[tuple[str, ...], tuple[int, ...]] | None = None,
        find_reasonable_step_size_fn: Callable[[TensorDict], float] | None = None,
        options: Mapping[str, Any] = {},
    ) -> None:
        """Prepare for a chain.

        Args:
            warmup_steps: how many draws warm-up has.
            initial_step_size: the first step size; None keeps it.
            mass_matrix_shape: (size,) of a diagonal block or (size, size) of a dense one, by tuples of site names.
            find_reasonable_step_size_fn: from a point to a first step size.
            options: of the matrices: dtype, device.
        """
        self._warmup_steps = warmup_steps
        self._schedule = self._build_adaptation_schedule()
        self._window = 0
        if initial_step_size is not None:
            self.step_size = initial_step_size
        self._find = find_reasonable_step_size_fn
        if mass_matrix_shape is not None:
            self._mass_matrix_adapter.configure(mass_matrix_shape, self.adapt_mass_matrix, options=options)
        if self.adapt_step_size:
            self._averaging.reset()

    def _build_adaptation_schedule(self) -> list[adapt_window]:
        if not (self.adapt_step_size or self.adapt_mass_matrix) or not self._warmup_steps:
            return []
        schedule, start = [], 0
        for window in stan_windows(self._warmup_steps):
            if window.num_draws > 0:
                schedule.append(adapt_window(start, start + window.num_draws - 1))
                start += window.num_draws
        return schedule

    def reset_step_size_adaptation(self, z: TensorDict) -> None:
        """Look for a step size at a point, and begin averaging around ten times it.

        Args:
            z: the point.
        """
        if self._find is not None:
            self.step_size = self._find(z)
        self._averaging.prox_center = math.log(10 * self.step_size)
        self._averaging.reset()

    def step(self, t: int, z: TensorDict, accept_prob: float | torch.Tensor, z_grad: TensorDict | None = None) -> None:
        """Take in a draw of warm-up.

        Args:
            t: its number, from 0.
            z: the draw.
            accept_prob: of its transition.
            z_grad: the potential's gradient there; an arrowhead mass matrix needs it.
        """
        if self._warmup_steps is None or t >= self._warmup_steps or not self._schedule:
            return
        window = self._schedule[self._window]
        last = len(self._schedule) - 1
        if self.adapt_step_size:
            self._averaging.step(self.target_accept_prob - float(accept_prob))
            log_step, log_average = self._averaging.get_state()
            self.step_size = math.exp(log_average if t == self._warmup_steps - 1 else log_step)
        middle = 0 < self._window < last or last == 0
        if self.adapt_mass_matrix and middle:
            self._mass_matrix_adapter.update(z, z_grad)
        if t == window.end and self._window < last:
            if self.adapt_mass_matrix and middle:
                self._mass_matrix_adapter.end_adaptation()
                if self.adapt_step_size:
                    self.reset_step_size_adaptation(z)
            self._window += 1
