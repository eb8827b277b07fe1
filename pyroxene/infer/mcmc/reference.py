"""The sampler in Python: serves where there is no C compiler, and shows what csrc/ does."""

from __future__ import annotations

import math
from typing import Any

import numpy
import torch

from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.metrics.base import DIAGONAL, MetricValues
from pyroxene.infer.mcmc.options import SamplerOptions
from pyroxene.infer.mcmc.random_stream import RandomStream
from pyroxene.infer.mcmc.sampler import COLLAPSED_STEP, Evaluate, Outcome, Recording, Sampler
from pyroxene.infer.mcmc.trajectory import Point, Transition, hmc_transition, leapfrog, nuts_transition, point_at
from pyroxene.ops.dual_averaging import DualAveraging

__all__ = ["ReferenceSampler"]

_SEARCH_THRESHOLD = math.log(0.8)


class _Stopped(Exception):
    """The stop flag was set in the middle of a trajectory, which is then begun anew."""


class ReferenceSampler(Sampler):
    """One chain, in numpy; final.

    Args:
        dim: of the positions.
        options: algorithm and limits.
        seed: of all chains.
        chain: this one's number.
    """

    def __init__(self, dim: int, options: SamplerOptions, seed: int, chain: int) -> None:
        self.dim = dim
        self.options = options
        self.random = RandomStream(seed, chain)
        self.metric = MetricValues(DIAGONAL, numpy.ones(dim))
        self.point: Point | None = None
        self.unevaluated: numpy.ndarray | None = None
        self._step_size = options.step_size
        self._averaging = DualAveraging()
        self._adapting = False
        self._searching = False
        self._max_depth = options.max_tree_depth[0]
        self._leapfrogs = self._draws = self._divergences = 0

    def start(self, position: numpy.ndarray) -> None:
        self.unevaluated = numpy.array(position, dtype=float)

    def set_metric(self, values: MetricValues) -> None:
        self.metric = values

    def search(self) -> None:
        self._searching = True

    def restart_averaging(self, center_factor: float) -> None:
        self._averaging.prox_center = math.log(center_factor * self._step_size)
        self._averaging.reset()

    def set_limits(self, *, adapting: bool, max_depth: int) -> None:
        self._adapting = adapting
        self._max_depth = max_depth

    @property
    def step_size(self) -> float:
        return self._step_size

    @step_size.setter
    def step_size(self, value: float) -> None:
        self._step_size = value

    @property
    def mean_step_size(self) -> float:
        return math.exp(self._averaging.get_state()[1]) if self._averaging._t else self._step_size

    @property
    def leapfrogs(self) -> int:
        return self._leapfrogs

    @property
    def draw(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        assert self.point is not None, "the chain has not run yet"
        return self.point.position.copy(), self.point.gradient.copy()

    def run(self, evaluate: Evaluate, out: Recording, stop: numpy.ndarray) -> int:
        def density(position: numpy.ndarray) -> tuple[float, numpy.ndarray]:
            if stop[0]:
                raise _Stopped
            value, gradient = evaluate(position)
            self._leapfrogs += 1
            return float(value), numpy.asarray(gradient, dtype=float)

        try:
            with numpy.errstate(all="ignore"):  # infinities are values here: a divergence
                if not self._is_started(density):
                    return Outcome.IMPOSSIBLE
                while out.recorded < out.wanted:
                    if self._searching:
                        self._search(density)
                    self._record(self._transition(density), out)
        except _Stopped:
            return Outcome.STOPPED
        return Outcome.FINISHED

    def _is_started(self, density: Any) -> bool:
        """Evaluate the start, where that is still to do; False where the chain cannot be there."""
        if self.unevaluated is not None:
            point = point_at(density, self.unevaluated)
            self._leapfrogs -= 1
            if not (math.isfinite(point.log_density) and numpy.isfinite(point.gradient).all()):
                return False
            self.point, self.unevaluated = point, None
        return True

    def _search(self, density: Any) -> None:
        direction = 0
        while 1e-12 <= self._step_size <= 1e7:
            start = self._with_momentum()
            fine = start.energy - leapfrog(density, self.metric, start, self._step_size).energy > _SEARCH_THRESHOLD
            direction = direction or (1 if fine else -1)
            if fine != (direction > 0):
                break
            self._step_size *= 2.0**direction
        self.restart_averaging(10.0)
        self._searching = False

    def _with_momentum(self) -> Point:
        assert self.point is not None
        momentum = self.random.normals(self.dim)
        return Point(self.point.position, self.point.log_density, self.point.gradient, momentum)

    def _transition(self, density: Any) -> Transition:
        assert self.point is not None
        words = list(self.random.words)
        try:
            if self.options.algorithm == "nuts":
                return nuts_transition(
                    density,
                    self.metric,
                    self.point,
                    self.random,
                    step_size=self._step_size,
                    max_depth=self._max_depth if self._step_size >= COLLAPSED_STEP else 1,
                    multinomial=self.options.use_multinomial,
                )
            steps = self.options.num_steps
            if steps is None:
                assert self.options.trajectory_length is not None
                steps = max(1, math.floor(min(self.options.trajectory_length / self._step_size, 1e15)))
            if self._adapting:
                steps = min(steps, 2**self._max_depth)
            return hmc_transition(
                density, self.metric, self.point, self.random, step_size=self._step_size, num_steps=steps
            )
        except _Stopped:
            self.random.words = words
            raise

    def _record(self, transition: Transition, out: Recording) -> None:
        self.point = point = transition.point
        diverged = transition.diverged_from
        row = (
            transition.accept_prob,
            self._step_size,
            transition.depth,
            transition.num_steps,
            point.energy,
            float(diverged is not None),
            point.log_density,
        )
        if self._adapting:
            self._averaging.step(self.options.target_accept_prob - transition.accept_prob)
            self._step_size = math.exp(self._averaging.get_state()[0])
        self._draws += 1
        if diverged is not None:
            if out.divergence_count < len(out.divergences):
                out.divergences[out.divergence_count] = diverged.position
                out.divergence_draws[out.divergence_count] = out.seen
            out.divergence_count += 1
            self._divergences += 1
        out.seen += 1
        if out.seen % out.thinning == 0:
            out.positions[out.recorded] = point.position
            if out.gradients is not None:
                out.gradients[out.recorded] = point.gradient
            out.statistics[out.recorded] = row
            out.recorded += 1
        out.counters[:3] = self._draws, self._leapfrogs, self._divergences

    def state_dict(self) -> dict[str, Any]:
        averaging = {name: getattr(self._averaging, name) for name in ("prox_center", "_x_avg", "_g_avg", "_t", "_x_t")}
        where = self.unevaluated if self.point is None else self.point.position
        assert where is not None, "the chain was never put anywhere"
        return {
            "kind": "python",
            "dim": self.dim,
            "position": torch.tensor(where),
            "words": [f"{word:x}" for word in self.random.words],
            "step_size": self._step_size,
            "averaging": averaging,
            "adapting": self._adapting,
            "searching": self._searching,
            "max_depth": self._max_depth,
            "counts": (self._leapfrogs, self._draws, self._divergences),
            "metric": self.metric.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state.get("kind") != "python" or state["dim"] != self.dim:
            raise UsageError(
                "the state is another sampler's",
                expected=f"kind 'python', dimension {self.dim}",
                got=f"kind '{state.get('kind')}', dimension {state.get('dim')}",
                hint="load it into a sampler that is made as the saved one was",
            )
        self.start(state["position"].numpy())
        self.point = None
        self.random.words = [int(word, 16) for word in state["words"]]
        self._step_size = state["step_size"]
        for name, value in state["averaging"].items():
            setattr(self._averaging, name, value)
        self._adapting, self._searching = state["adapting"], state["searching"]
        self._max_depth = state["max_depth"]
        self._leapfrogs, self._draws, self._divergences = state["counts"]
        self.metric = MetricValues.from_state_dict(state["metric"])
