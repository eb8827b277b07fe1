"""Many steps on an engine, in parts short enough to look up between them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy

from pyroxene.infer.arguments import Arguments
from pyroxene.infer.native_svi.contest import Contest
from pyroxene.infer.native_svi.steps import Steps

__all__ = ["Run"]

_CHUNK_SECONDS = 0.05


class Run:
    """Many steps on an engine; final.

    Args:
        steps: makes them.
        arguments: the model's.
        count: how many.
        contest: is told what they took.
    """

    def __init__(self, steps: Steps, arguments: Arguments, count: int, contest: Contest) -> None:
        self._steps = steps
        self._arguments = arguments
        self._count = count
        self._contest = contest
        self._engine = contest.active
        self._losses = numpy.empty(0)

    def __call__(self, progress: Callable[[int, float], None]) -> None:
        """Make the steps; an interrupt leaves what was made.

        Args:
            progress: called now and then with the number of new steps and the mean of their losses.
        """
        losses, done, part, start = numpy.empty(self._count), 0, 32, time.perf_counter()
        self._steps.begin(self._arguments, losses)
        try:
            while done < self._count:
                part = min(part, self._count - done)
                begin = time.perf_counter()
                self._steps.advance(part)
                seconds = time.perf_counter() - begin
                progress(part, float(losses[done : done + part].mean()))
                done += part
                part = max(1, int(part * min(8.0, _CHUNK_SECONDS / max(seconds, 1e-9))))
        finally:
            self._losses = losses[: self._steps.end()]
            if len(self._losses):
                self._contest.took(self._engine, time.perf_counter() - start, len(self._losses))

    @property
    def names(self) -> list[str]:
        """The names of the parameters that were stepped."""
        return list(self._steps.names)

    @property
    def losses(self) -> list[float]:
        """The loss of each step that was made."""
        losses: list[float] = self._losses.tolist()
        return losses
