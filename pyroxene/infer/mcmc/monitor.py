"""What running chains and whoever watches them share: counters and a stop flag."""

from __future__ import annotations

from collections.abc import Callable

import numpy

__all__ = ["FINISHED", "SAMPLING", "WAITING", "WARMING_UP", "Monitor"]

WAITING, WARMING_UP, SAMPLING, FINISHED = 0, 1, 2, 3
"""Phases in the counters' last column."""


class Monitor:
    """Counters that chains write without a lock, and a flag that stops them; final.

    Attributes:
        counters: int64 of shape (num_chains, 8), a cache line for each chain: draws done, leapfrogs, divergences and
            the phase, all since the chain began, warm-up included; the other columns are unused.
        stop: int32 of shape (1,); chains end soon after it is set to 1.

    Args:
        num_chains: how many chains will run.
        on_tick: called by the main thread about every `interval` seconds while chains run.
        interval: seconds between two ticks.
    """

    def __init__(
        self, num_chains: int, on_tick: Callable[[Monitor], None] | None = None, interval: float = 0.1
    ) -> None:
        self.counters = numpy.zeros((num_chains, 8), dtype=numpy.int64)
        self.stop = numpy.zeros(1, dtype=numpy.int32)
        self.interval = interval
        self._on_tick = on_tick

    def set_phase(self, chain: int, phase: int) -> None:
        """Say what a chain is doing."""
        self.counters[chain, 3] = phase

    def tick(self) -> None:
        """Let the watcher look."""
        if self._on_tick is not None:
            self._on_tick(self)

    def interrupt(self) -> None:
        """Ask all chains to stop."""
        self.stop[0] = 1
