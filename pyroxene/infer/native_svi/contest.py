"""Which engine makes a program's steps: by what its steps cost, measured on those that are made anyway."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pyroxene.logger import log

__all__ = ["EAGER", "INDUCTOR", "NATIVE", "TERMS", "WORTHWHILE", "Contest", "Terms"]

EAGER, NATIVE, INDUCTOR = "eager", "native", "inductor"

WORTHWHILE = 100
"""Runs of fewer steps stay eager: capture and build take 0.1 s warm and 0.5 s cold, an eager step 1 to 2 ms."""

EQUAL_CALLS = 3
"""After so many calls of `step` of equal structure the next is native."""

TRIAL = 9
"""Steps of an engine that are timed before it is judged, the first left out: caches are cold."""

_LATEST = 25


@dataclass(frozen=True)
class Terms:
    """On which terms an engine gets a trial; final.

    Attributes:
        build: seconds to build it, before one was built and timed.
        payback: the steps that are left must take so many times as long.
        least: seconds that each of its steps takes at the least; where steps are as fast, it need not be tried.
    """

    build: float
    payback: float
    least: float = 0.0


TERMS = {
    NATIVE: Terms(build=0.7, payback=2.0),  # it wins by 30 where a network is small, and loses by 5 where it is large
    INDUCTOR: Terms(build=12.0, payback=4.0, least=3e-4),  # it saves a tenth to a half; its optimiser stays in Python
}


class Contest:
    """The engines that may make one program's steps, eager first; final.

    An engine is built once the steps that are left would take far longer than building it. How many are left is known
    in a run. Else it is as many as there were: whoever rents until the rent is the price, and then buys, pays at most
    twice what was needed. Its first steps are on trial, and whichever is faster goes on.

    Args:
        engines: to be tried, in this order.
        is_sure: whether the first of them, if it can be built, wins without a trial.
        costs: seconds to build each; brought up to date.

    Attributes:
        engine: the one that has won so far.
        trial: the one that is on trial; empty where none is.
    """

    def __init__(self, engines: Sequence[str], is_sure: bool, costs: dict[str, float]) -> None:
        self.engine, self.trial = EAGER, ""
        self._waiting = list(engines)
        self._is_sure = is_sure
        self._costs = costs
        self._spent: dict[str, float] = {}
        self._calls: dict[str, int] = {}
        self._times: dict[str, deque[float]] = {}
        self._why: dict[str, str] = {}
        self._measured = ""

    @property
    def active(self) -> str:
        """The engine of the next step."""
        return self.trial or self.engine

    @property
    def is_open(self) -> bool:
        """Whether other engines may still be tried, so that steps are to be timed."""
        return bool(self.trial or self._waiting)

    def took(self, engine: str, seconds: float, steps: int = 1) -> None:
        """Take note of steps."""
        self._calls[engine] = self._calls.get(engine, 0) + steps
        if self._calls[engine] > 1:  # the first is cold, by a second sometimes
            self._spent[engine] = self._spent.get(engine, 0.0) + seconds
            self._times.setdefault(engine, deque(maxlen=_LATEST)).append(seconds / steps)
        if engine == self.trial and self._calls[engine] >= TRIAL:
            self._judge()

    def seconds(self, engine: str) -> float:
        """Return the median time of a step."""
        return statistics.median(self._times[engine])

    def due(self, left: int | None) -> str:
        """Return the engine that is to be built now; empty where none is.

        Args:
            left: how many steps there will be; None where nobody knows.
        """
        if self.trial or not self._waiting:
            return ""
        engine = self._waiting[0]
        if self._is_sure:
            may = self._calls.get(EAGER, 0) >= EQUAL_CALLS if left is None else left >= WORTHWHILE
            return engine if may else ""
        if self._calls.get(self.engine, 0) < TRIAL:
            return ""
        step = self.seconds(self.engine)
        if step <= TERMS[engine].least:
            self._waiting.pop(0)
            self._why[engine] = "its steps could not be faster"
            return self.due(left)
        stay = max(self._spent[self.engine], step * (left or 0))
        return engine if stay >= TERMS[engine].payback * self._costs[engine] else ""

    def built(self, engine: str, seconds: float) -> None:
        """Take note that an engine was built: its steps are on trial, or it has won."""
        self._waiting.remove(engine)
        self._costs[engine] = seconds
        if self._is_sure:
            self.engine, self._waiting = engine, []
        else:
            self.trial = engine

    def refuse(self, engine: str, reason: str) -> None:
        """Take note that an engine cannot make the steps."""
        self._why[engine] = reason
        self._is_sure = False
        self._waiting = [name for name in self._waiting if name != engine]
        if self.trial == engine:
            self.trial = ""

    def _judge(self) -> None:
        mine, others = self.seconds(self.trial), self.seconds(self.engine)
        self._measured = f"a step took {_time(mine)} on {self.trial}, and {_time(others)} on {self.engine}"
        if mine < others:
            self.engine = self.trial
        else:
            self._why[self.trial] = self._measured
        self.trial = ""
        log.info("SVI steps on %s: %s", self.engine, self._measured)

    @property
    def reason(self) -> str:
        """Why the engine that has won did; empty where there is nothing to say."""
        if self.engine != EAGER:
            return self._measured
        why = [text if name == NATIVE else f"{name}: {text}" for name, text in self._why.items()]
        if self._is_sure:
            why.append(f"there are fewer than {WORTHWHILE} steps")
        elif self._waiting:
            engine = self._waiting[0]
            why.append(f"{engine}: building it takes about {self._costs[engine]:.2g} s, too long for the steps to come")
        return "; ".join(why)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"
