"""What is known of the calls of one structure: their arguments, the engines that were built for them, the contest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pyroxene import settings
from pyroxene.infer.arguments import Arguments, Span
from pyroxene.infer.guards import Guards
from pyroxene.infer.native_svi.contest import EAGER, INDUCTOR, NATIVE, Contest
from pyroxene.infer.native_svi.seen import EagerStep, in_store
from pyroxene.infer.native_svi.steps import Steps

__all__ = ["Built", "Known"]

MOST_BUILDS = {NATIVE: 8, INDUCTOR: 2}


@dataclass(frozen=True)
class Built:
    """Steps on one engine, and what they rely on; final."""

    steps: Steps
    guards: Guards

    @property
    def is_current(self) -> bool:
        """Whether the program reads what it read, and the optimiser steps what it stepped."""
        return self.steps.is_current and in_store(self.steps.names) and self.guards.hold()


@dataclass
class Known:
    """What is known of calls of one structure; final.

    Attributes:
        last: the arguments of the latest call.
        engines: that may make the steps.
        is_sure: whether the first of them needs no trial.
        costs: of building them.
        seen: what the latest eager step showed.
        varying: which tensors among the arguments were not the same at each.
        built: the engines that were built.
        builds: how often each was.
        spans: of the tensors among the arguments, as eager steps saw and checked them.
        contest: between the engines.
    """

    last: Arguments
    engines: list[str]
    is_sure: bool
    costs: dict[str, float]
    seen: EagerStep | None = None
    varying: set[int] = field(default_factory=set)
    built: dict[str, Built] = field(default_factory=dict)
    builds: dict[str, int] = field(default_factory=dict)
    spans: dict[int, Span] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.contest = Contest(self.engines, self.is_sure, self.costs)

    @property
    def active(self) -> Built | None:
        """What makes the next step, unless that is eager."""
        return self.built.get(self.contest.active)

    def notice(self, arguments: Arguments, seen: EagerStep) -> None:
        """Take note of an eager call."""
        changed = self.last.changed(arguments)
        self.varying.update(changed)
        self.last, self.seen = arguments, seen
        self.contest.took(EAGER, seen.seconds)
        if self.contest.is_open or self.built:
            for position in range(len(arguments.tensors)) if not self.spans else changed:
                span = arguments.span(position)
                if span is not None:
                    self.spans[position] = self.spans.get(position, span).joined(span)

    def is_checked(self, arguments: Arguments, positions: Iterable[int]) -> bool:
        """Say whether eager steps have seen, and let pass, tensors such as these."""
        for position in positions:
            checked = self.spans.get(position)
            span = None if checked is None else arguments.span(position, checked.is_whole)
            if checked is not None and span is not None and not checked.holds(span):
                return False
        return True

    def is_valid(self, arguments: Arguments) -> bool:
        """Say whether the active engine still does what an eager step would; begin anew where it does not."""
        active = self.active
        if active is None:
            return False
        changed = active.steps.arguments.changed(arguments)
        if changed and not active.steps.covers(changed):
            self.varying.update(changed)
            self.restart()
        elif changed and _validates() and not self.is_checked(arguments, changed):
            return False  # an eager step checks the new values
        elif not active.is_current:
            self.restart()
        return self.active is not None

    def restart(self) -> None:
        """Forget what was built, and what steps cost: the program has changed."""
        self.built.clear()
        self.contest = Contest(self.engines, self.is_sure, self.costs)
        for engine in self.engines:
            if self.builds.get(engine, 0) >= MOST_BUILDS[engine]:
                self.contest.refuse(engine, "what the program reads changes from step to step")


def _validates() -> bool:
    return bool(settings.get("validate_distributions_torch"))
