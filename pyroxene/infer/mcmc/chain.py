"""One chain: its warm-up and its draws, as stretches that somebody runs."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from pyroxene.infer.mcmc.metrics import Metric, MetricValues
from pyroxene.infer.mcmc.metrics.base import DENSE, DIAGONAL
from pyroxene.infer.mcmc.metrics.fisher import scale_from_gradient
from pyroxene.infer.mcmc.monitor import SAMPLING, WARMING_UP, Monitor
from pyroxene.infer.mcmc.options import DEEPEST_TREE, SamplerOptions
from pyroxene.infer.mcmc.sampler import COLLAPSED_STEP, STATISTICS, Outcome, Recording, Sampler
from pyroxene.infer.mcmc.warmup import Window, shallow_depth, warmup_windows

__all__ = ["Chain", "ChainDraws", "Program", "Run", "carry_out", "no_draws"]

Run = Callable[[Sampler, Recording, numpy.ndarray], int]
"""Runs a sampler until a recording is full or the stop flag is set: from the three to an `Outcome`."""

Program = Generator[Recording, None, None]
"""The recordings that have to be filled one after the other; the chain adapts in between."""

_FEWEST_DIGITS = 1e-13
"""Relative to a coordinate: of its 16 digits a step must move the last three, or the coordinate stands still."""

_TREE_DEPTH = STATISTICS.index("tree_depth")


@dataclass(frozen=True)
class ChainDraws:
    """Draws of one chain; final.

    Attributes:
        positions: shape (num_draws, dim), float64, unconstrained.
        log_density: at each, shape (num_draws,).
        stats: "accept_prob", "step_size", "tree_depth", "num_steps", "energy", "diverging", each of shape
            (num_draws,); tree_depth and num_steps are integers, diverging is boolean.
        interrupted: whether fewer draws are here than were asked for.
        divergence_positions: where leapfrogs that diverged began, shape (num_kept, dim), at most 100.
        divergence_draws: for each of these the number of its draw, before thinning, shape (num_kept,).
    """

    positions: torch.Tensor
    log_density: torch.Tensor
    stats: dict[str, torch.Tensor]
    interrupted: bool
    divergence_positions: torch.Tensor
    divergence_draws: torch.Tensor


def _draws_of(out: Recording, wanted: int) -> ChainDraws:
    columns = dict(zip(STATISTICS, torch.from_numpy(numpy.ascontiguousarray(out.statistics[: out.recorded].T))))
    for name in ("tree_depth", "num_steps"):
        columns[name] = columns[name].long()
    columns["diverging"] = columns["diverging"] > 0.5
    kept = min(out.divergence_count, len(out.divergences))
    return ChainDraws(
        torch.from_numpy(out.positions[: out.recorded]),
        columns.pop("log_density"),
        columns,
        out.recorded < wanted,
        torch.from_numpy(out.divergences[:kept].copy()),
        torch.from_numpy(out.divergence_draws[:kept].copy()),
    )


class Chain:
    """A chain that can warm up, draw, be saved and go on; final.

    Args:
        number: its number, which is its row in the monitor.
        sampler: its state.
        metric: how warm-up estimates the mass matrix.
        options: how it moves and adapts.
        position: where it starts, shape (dim,).
        run: runs its sampler over a density.

    Attributes:
        warmup_draws: what `warm_up` recorded, where it was asked to save.
        draws: what `sample` drew last.
        num_divergences: divergences after warm-up, of all draws of `sample` so far.
        outcome: one of `Outcome`: how its last stretch ended.
        values: the metric in use.
    """

    def __init__(
        self,
        number: int,
        sampler: Sampler,
        metric: Metric,
        options: SamplerOptions,
        position: numpy.ndarray,
        run: Run | None = None,
    ) -> None:
        self.number = number
        self.sampler = sampler
        self.metric = metric
        self.options = options
        self.run = run
        self.warmup_draws: ChainDraws | None = None
        self.draws: ChainDraws | None = None
        self.num_divergences = 0
        self.outcome = Outcome.FINISHED
        self.values = MetricValues(DIAGONAL, numpy.ones(sampler.dim))
        sampler.start(position)
        if options.initial_inverse_mass is not None:
            self._set_metric(_given_values(options.initial_inverse_mass))

    def warm_up(self, num_draws: int, monitor: Monitor, save: bool = False) -> ChainDraws | None:
        """Adapt step size and metric over so many draws; return them if they are to be saved."""
        assert self.run is not None, "the chain was made without a density"
        carry_out(self, self.warmup_program(num_draws, monitor, save), self.run, monitor.stop)
        return self.warmup_draws

    def sample(self, num_draws: int, monitor: Monitor, thinning: int = 1) -> ChainDraws:
        """Draw, and keep every `thinning`-th of the draws until `num_draws` are kept."""
        assert self.run is not None, "the chain was made without a density"
        carry_out(self, self.sampling_program(num_draws, monitor, thinning), self.run, monitor.stop)
        assert self.draws is not None
        return self.draws

    def warmup_program(self, num_draws: int, monitor: Monitor, save: bool = False) -> Program:
        """Yield the recordings that have to be filled one after the other, adapting in between."""
        monitor.set_phase(self.number, WARMING_UP)
        options, sampler = self.options, self.sampler
        out = Recording(num_draws, sampler.dim, monitor.counters[self.number], with_gradients=options.adapt_mass_matrix)
        out.wanted, shallow = 0, options.max_tree_depth[0]
        sampler.set_limits(adapting=False, max_depth=options.max_tree_depth[0])
        try:
            yield out
            self._prepare()
            for window in warmup_windows(options.warmup, num_draws):
                depth = min(window.max_depth or DEEPEST_TREE, options.max_tree_depth[0])
                if window.shallow:
                    recent = out.statistics[out.recorded // 2 : out.recorded, _TREE_DEPTH]
                    depth = shallow = min(shallow, shallow_depth(recent, depth))
                sampler.set_limits(adapting=options.adapt_step_size, max_depth=depth)
                out.extend(window.num_draws)
                yield out
                self._adapt(window, out)
            if options.adapt_step_size and num_draws:
                sampler.step_size = sampler.mean_step_size
        finally:
            sampler.set_limits(adapting=False, max_depth=options.max_tree_depth[1])
            self.warmup_draws = _draws_of(out, num_draws) if save else None

    def sampling_program(self, num_draws: int, monitor: Monitor, thinning: int = 1) -> Program:
        """Yield the one recording of a chain's draws."""
        monitor.set_phase(self.number, SAMPLING)
        out = Recording(num_draws, self.sampler.dim, monitor.counters[self.number], thinning=thinning)
        self.sampler.set_limits(adapting=False, max_depth=self.options.max_tree_depth[1])
        try:
            yield out
        finally:
            self.draws = _draws_of(out, num_draws)
            self.num_divergences += out.divergence_count

    def _prepare(self) -> None:
        """Begin adaptation, now that the gradient at the start is known."""
        if self.options.adapt_mass_matrix and self.options.initial_inverse_mass is None:
            _, gradient = self.sampler.draw
            self._set_metric(MetricValues(DIAGONAL, scale_from_gradient(gradient)))
        if self.options.adapt_step_size:
            self.sampler.search()

    def _adapt(self, window: Window, out: Recording) -> None:
        sampler = self.sampler
        if window.first is not None and self.options.adapt_mass_matrix:
            assert out.gradients is not None
            draws = out.positions[window.first : out.recorded]
            if len(draws) >= self.metric.smallest_window(sampler.dim):
                self._set_metric(self.metric.update(draws, out.gradients[window.first : out.recorded]))
        if self.options.adapt_step_size:
            if window.search:
                sampler.search()
            elif window.restart is not None:
                sampler.step_size = sampler.mean_step_size
                sampler.restart_averaging(window.restart)

    def _set_metric(self, values: MetricValues) -> None:
        self.values = values
        self.sampler.set_metric(values)

    @property
    def trouble(self) -> str | None:
        """What went wrong, or None: "impossible_start", "step_size_collapsed", "all_diverged"."""
        if self.outcome == Outcome.IMPOSSIBLE:
            return "impossible_start"
        if not self.sampler.step_size > COLLAPSED_STEP or self._stands_still():
            return "step_size_collapsed"
        if self.draws is not None and len(self.draws.positions) and bool(self.draws.stats["diverging"].all()):
            return "all_diverged"
        return None

    def _stands_still(self) -> bool:
        """Say whether a step is too short for the digits of every coordinate: the metric can collapse as well."""
        position, _ = self.sampler.draw
        reach = self.sampler.step_size * self.values.row_norms()
        return bool((reach < _FEWEST_DIGITS * numpy.abs(position)).all())

    def state_dict(self) -> dict[str, Any]:
        """Everything that the chain's next draws depend on, as plain values and tensors."""
        return {
            "number": self.number,
            "sampler": self.sampler.state_dict(),
            "metric": self.metric.state_dict(),
            "values": self.values.state_dict(),
            "num_divergences": self.num_divergences,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a chain stood that was made with the same options.

        Raises:
            UsageError: the state is of another dimension or kind of sampler.
        """
        self.sampler.load_state_dict(state["sampler"])
        self.metric.load_state_dict(state["metric"])
        self.values = MetricValues.from_state_dict(state["values"])
        self.number = state["number"]
        self.num_divergences = state["num_divergences"]


def carry_out(chain: Chain, program: Program, run: Run, stop: numpy.ndarray) -> None:
    """Fill a chain's recordings one after the other, up to the first that is stopped or cannot be begun.

    Args:
        chain: whose program it is; its `outcome` is set.
        program: from `Chain.warmup_program` or `Chain.sampling_program`.
        run: fills one recording.
        stop: an int32 array of one element.
    """
    for recording in program:
        chain.outcome = run(chain.sampler, recording, stop)
        if chain.outcome != Outcome.FINISHED:
            break
    program.close()


def no_draws(dim: int, interrupted: bool) -> ChainDraws:
    """Return the draws of a chain that has none: it was stopped before its first, or none was asked for."""
    out = Recording(0, dim, numpy.zeros(8, dtype=numpy.int64), divergence_capacity=0)
    return _draws_of(out, int(interrupted))


def _given_values(inverse_mass: torch.Tensor) -> MetricValues:
    given = inverse_mass.detach().double().cpu().numpy()
    if given.ndim == 1:
        return MetricValues(DIAGONAL, numpy.sqrt(given))
    return MetricValues(DENSE, numpy.ones(len(given)), numpy.linalg.cholesky(given))
