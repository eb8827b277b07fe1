"""A chain draw by draw, for whoever wants to look at each: hooks, and kernels called by hand."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from pyroxene.infer.mcmc.chain import Chain
from pyroxene.infer.mcmc.monitor import Monitor
from pyroxene.infer.mcmc.sampler import STATISTICS, Outcome, Recording

__all__ = ["Step", "draws_one_by_one", "steps"]

_COLUMN = {name: number for number, name in enumerate(STATISTICS)}


@dataclass(frozen=True)
class Step:
    """One transition; final.

    Attributes:
        position: shape (dim,), float64.
        accept_prob: of its trajectory, averaged.
        diverging: whether its trajectory diverged.
    """

    position: torch.Tensor
    accept_prob: float
    diverging: bool


def draws_one_by_one(
    chain: Chain, density: Any, program: Generator[Recording, None, None], monitor: Monitor
) -> Generator[Step, None, None]:
    """Fill a program's recordings one draw at a time; ends early where the chain stops.

    Args:
        chain: whose program it is.
        density: what the chain draws from.
        program: `chain.warmup_program(...)` or `chain.sampling_program(...)`.
        monitor: holds the stop flag.
    """

    def evaluate(position: numpy.ndarray) -> tuple[Any, Any]:
        value, gradient = density.value_and_grad(torch.from_numpy(position))
        return float(value), gradient.detach().numpy()

    try:
        for recording in program:
            goal, full = recording.wanted, False
            while not full:
                before = recording.recorded
                recording.wanted = min(before + 1, goal)
                chain.outcome = chain.sampler.run(evaluate, recording, monitor.stop)
                recording.wanted = goal
                if chain.outcome != Outcome.FINISHED:
                    return
                full = recording.recorded >= goal
                if recording.recorded > before:
                    yield _step(recording)
    finally:
        program.close()


def _step(recording: Recording) -> Step:
    row = recording.statistics[recording.recorded - 1]
    position = torch.from_numpy(recording.positions[recording.recorded - 1].copy())
    return Step(position, float(row[_COLUMN["accept_prob"]]), bool(row[_COLUMN["diverging"]] > 0.5))


def steps(chain: Chain, density: Any, num_warmup: int, monitor: Monitor) -> Iterator[Step]:
    """Yield the transitions of warm-up, then those after it, without end.

    Args:
        chain: at its start.
        density: what it draws from.
        num_warmup: how many transitions belong to warm-up.
        monitor: holds the stop flag.
    """
    if num_warmup:
        yield from draws_one_by_one(chain, density, chain.warmup_program(num_warmup, monitor), monitor)
    while not monitor.stop[0] and chain.outcome == Outcome.FINISHED:
        yield from draws_one_by_one(chain, density, chain.sampling_program(1, monitor), monitor)
