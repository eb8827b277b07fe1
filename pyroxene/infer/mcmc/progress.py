"""The progress line: reads the counters that chains write, and costs them nothing."""

from __future__ import annotations

import sys
import time
from typing import Any

from pyroxene.infer.mcmc.monitor import SAMPLING, WARMING_UP, Monitor

__all__ = ["ProgressLine"]

PATIENCE = 0.3
"""Seconds before a line appears: importing tqdm and drawing a line cost more than a short run."""


class ProgressLine:
    """One line for all chains of a run; final.

    Args:
        total: draws of all chains, warm-up included.
        disable: whether to show nothing.
    """

    def __init__(self, total: int, disable: bool = False) -> None:
        self.total = total
        self.disable = disable
        self._started = time.monotonic()
        self._bar: Any = None

    def watch(self, monitor: Monitor) -> None:
        """Show the counters of running chains; called every so often by whoever waits for them.

        Args:
            monitor: theirs.
        """
        if not self._is_due():
            return
        counters = monitor.counters
        draws, leapfrogs, divergences = (int(counters[:, column].sum()) for column in range(3))
        phases = counters[:, 3]
        stage = "Warmup" if (phases == WARMING_UP).any() else "Sample" if (phases == SAMPLING).any() else "MCMC"
        per_draw = leapfrogs / draws if draws else 0.0
        self.show(draws, stage, f"{per_draw:.1f} leapfrogs a draw, {divergences} divergences")

    def show(self, done: int, stage: str, text: str) -> None:
        """Show how far the run is.

        Args:
            done: draws so far, warm-up included.
            stage: "Warmup" or "Sample".
            text: what else there is to say.
        """
        if not self._is_due():
            return
        if self._bar is None:
            from tqdm.auto import tqdm

            quiet = not sys.stderr.isatty()  # a log file gets a line now and then
            self._bar = tqdm(total=self.total, unit="draw", dynamic_ncols=True, mininterval=10.0 if quiet else 0.1)
        self._bar.set_description(stage, refresh=False)
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(min(done, self.total) - self._bar.n)

    def _is_due(self) -> bool:
        return not self.disable and (self._bar is not None or time.monotonic() - self._started >= PATIENCE)

    def close(self) -> None:
        """Leave the line as it is."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
