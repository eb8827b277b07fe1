"""Which steps run natively: decides, builds, remembers what it built, and falls back with a reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy

from pyroxene import settings
from pyroxene.errors import CaptureError, CompilerError
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.guards import Guards
from pyroxene.infer.native_svi.arguments import Arguments, Span
from pyroxene.infer.native_svi.engine import EagerStep, NativeSteps
from pyroxene.logger import log
from pyroxene.params import get_param_store
from pyroxene.poutine.runtime import am_i_wrapped

__all__ = ["Run", "Stepper"]

WORTHWHILE = 100
"""Runs of fewer steps stay eager: capture and build take 0.1 s warm and 0.5 s cold, an eager step 1 to 2 ms."""

EQUAL_CALLS = 3
"""After so many calls of `step` of equal structure the next is native."""

_MOST_STRUCTURES = 8

_CHUNK_SECONDS = 0.05

_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What recording may raise beyond what it should: the program itself has just run, so it is to go on running."""


@dataclass
class _Known:
    """What is known of calls of one structure; final.

    Attributes:
        last: the arguments of the latest call.
        calls: how many there were.
        varying: which tensors among the arguments were not the same at each.
        native: their steps, if they were built.
        guards: what they rely on.
        builds: how often they were built.
        refused: why they cannot be.
        spans: of the tensors among the arguments, as eager steps saw and checked them.
    """

    last: Arguments
    calls: int = 0
    varying: set[int] = field(default_factory=set)
    native: NativeSteps | None = None
    guards: Guards | None = None
    builds: int = 0
    refused: str | None = None
    spans: dict[int, Span] = field(default_factory=dict)

    def notice(self, arguments: Arguments) -> None:
        """Take note of an eager call."""
        changed = self.last.changed(arguments)
        self.varying.update(changed)
        self.last = arguments
        self.calls += 1
        if self.refused is None:
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


class Stepper:
    """The native side of one SVI; final.

    Args:
        model: the model.
        guide: the guide.
        optim: the optimiser.
        loss_and_grads: what an eager step calls; native steps stand in for the method of an ELBO alone.

    Attributes:
        parts: model, guide, optimiser, loss and gradients: what it was made of.
        reason: why the latest steps were eager; empty where they were not, or where it was not asked.
    """

    def __init__(
        self, model: Callable[..., Any], guide: Callable[..., Any], optim: Any, loss_and_grads: Callable[..., Any]
    ) -> None:
        self.parts = (model, guide, optim, loss_and_grads)
        self._model = model
        self._guide = guide
        self._optim = optim
        self._known: dict[Any, _Known] = {}
        self._lock = threading.Lock()
        self._loss = numpy.zeros(1)
        self._latest: Arguments | None = None
        self._elbo: ELBO | None = None
        owner = getattr(loss_and_grads, "__self__", None)
        if isinstance(owner, ELBO) and getattr(loss_and_grads, "__func__", None) is ELBO.loss_and_grads:
            self._elbo = owner
        self.reason = ""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "_latest": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _may(self) -> bool:
        if self._elbo is None:
            self.reason = "the loss is no ELBO whose gradient the engine knows"
        elif settings.value_of("svi_engine") == "eager":
            self.reason = "the setting svi_engine asks for it"
        elif settings.value_of("module_local_params"):
            self.reason = "parameters are local to modules"
        elif am_i_wrapped():
            self.reason = "handlers are active around the step"
        else:
            return True
        return False

    # one step --------------------------------------------------------------------------------------------------------

    def step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
        """Take a native step where one is ready for such arguments; return its loss, or None: take an eager one."""
        if not self._known or not self._may():
            return None
        latest = self._latest
        arguments = latest if latest is not None and latest.are(args, kwargs) else Arguments(args, kwargs)
        self._latest = arguments
        known = self._known.get(arguments.structure)
        if known is None or known.native is None or not self._is_valid(known, arguments):
            return None
        if not known.native.is_torch_s and settings.value_of("svi_engine") != "native":
            return None
        if not self._lock.acquire(blocking=False):
            return None
        try:
            known.native.begin(arguments, self._loss)
            try:
                known.native.advance(1)
            finally:
                known.native.end()
        finally:
            self._lock.release()
        return float(self._loss[0])

    def _is_valid(self, known: _Known, arguments: Arguments) -> bool:
        """Say whether a program still stands for what an eager step would do; forget it where it does not."""
        native = known.native
        assert native is not None and known.guards is not None
        changed = native.objective.arguments.changed(arguments)
        if changed and not native.covers(changed):
            known.varying.update(changed)
            known.native = None
        elif changed and _validates() and not known.is_checked(arguments, changed):
            return False  # an eager step checks the new values
        elif not native.is_current or not _in_store(native) or not known.guards.hold():
            known.native, known.calls = None, 0
        return known.native is not None

    def saw(self, args: tuple[Any, ...], kwargs: dict[str, Any], seen: EagerStep) -> None:
        """Take note of an eager call of `step`; build after some of equal structure."""
        if not self._may():
            return
        known = self._look_up(Arguments(args, kwargs))
        if known.calls >= EQUAL_CALLS and known.native is None and known.refused is None:
            self._build(known, seen)

    def _look_up(self, arguments: Arguments) -> _Known:
        known = self._known.get(arguments.structure)
        if known is None:
            if len(self._known) >= _MOST_STRUCTURES:
                del self._known[next(iter(self._known))]
            known = self._known[arguments.structure] = _Known(arguments)
        known.notice(arguments)
        return known

    def _build(self, known: _Known, seen: EagerStep) -> None:
        assert self._elbo is not None
        known.builds += 1
        if known.builds > _MOST_STRUCTURES:
            known.refused = "what the program reads changes from step to step"
            return
        try:
            inputs = sorted(known.varying)
            native = NativeSteps(self._elbo, self._model, self._guide, self._optim, known.last, inputs, seen)
            guards = Guards(self._model, self._guide, *known.last.objects())  # afterwards: a program may count its runs
        except (CaptureError, CompilerError) as error:
            known.refused = str(error).partition("\nTrace Shapes")[0].replace("\n  ", "; ")
            log.info("SVI steps on eager PyTorch: %s", known.refused)
            return
        except _FAULTS as error:
            known.refused = f"{type(error).__name__}: {error}"
            log.warning("SVI steps on eager PyTorch: recording them failed, a fault of pyroxene's; %s", known.refused)
            return
        known.native, known.guards = native, guards
        if native.reason:
            log.info("the optimiser steps in Python, on native gradients: %s", native.reason)

    # many steps ------------------------------------------------------------------------------------------------------

    def for_run(
        self, steps: int, args: tuple[Any, ...], kwargs: dict[str, Any], seen: EagerStep | None = None
    ) -> Run | None:
        """Return a native run, or None: go on eagerly, and `reason` says why.

        Args:
            steps: how many are left.
            args: the model's arguments.
            kwargs: the model's keyword arguments.
            seen: what the eager step before them showed; without it a run is made only of steps that are built already.
        """
        if not self._may():
            return None
        arguments = Arguments(args, kwargs)
        if seen is None:
            built = self._known.get(arguments.structure)
            if built is None or built.native is None or not self._is_valid(built, arguments):
                return None
            return Run(built.native, arguments, steps)
        if steps < WORTHWHILE:
            self.reason = f"there are fewer than {WORTHWHILE} steps"
            return None
        known = self._look_up(arguments)
        if known.native is not None:
            self._is_valid(known, arguments)
        if known.native is None and known.refused is None:
            self._build(known, seen)
        self.reason = known.refused or ""
        return None if known.native is None else Run(known.native, arguments, steps)


class Run:
    """Many native steps, in parts short enough to look up between them; final.

    Args:
        native: the steps.
        arguments: the model's.
        steps: how many.
    """

    def __init__(self, native: NativeSteps, arguments: Arguments, steps: int) -> None:
        self._native = native
        self._arguments = arguments
        self._losses = numpy.empty(steps)
        self._steps = steps

    def __call__(self, progress: Callable[[int, float], None]) -> None:
        """Make the steps; an interrupt leaves what was made.

        Args:
            progress: called now and then with the number of new steps and the mean of their losses.
        """
        native, done, part = self._native, 0, 32
        native.begin(self._arguments, self._losses)
        try:
            while done < self._steps:
                part = min(part, self._steps - done)
                start = time.perf_counter()
                native.advance(part)
                seconds = time.perf_counter() - start
                progress(part, float(self._losses[done : done + part].mean()))
                done += part
                part = max(1, int(part * min(8.0, _CHUNK_SECONDS / max(seconds, 1e-9))))
        finally:
            self._losses = self._losses[: native.end()]

    @property
    def names(self) -> list[str]:
        """The names of the parameters that were stepped."""
        return list(self._native.objective.names)

    @property
    def losses(self) -> list[float]:
        """The loss of each step that was made."""
        losses: list[float] = self._losses.tolist()
        return losses


def _validates() -> bool:
    return bool(settings.get("validate_distributions_torch"))


def _in_store(native: NativeSteps) -> bool:
    store = get_param_store()
    return all(store.leaf(name) is leaf for name, leaf in native.objective.names.items())
