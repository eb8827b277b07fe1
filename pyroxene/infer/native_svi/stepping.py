"""Which engine makes SVI's steps: decides, builds, remembers what it built, and falls back with a reason."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy

from pyroxene import settings
from pyroxene.errors import CaptureError, CompilerError
from pyroxene.infer.arguments import Arguments
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.guards import Guards
from pyroxene.infer.native_svi.contest import EAGER, INDUCTOR, NATIVE, TERMS
from pyroxene.infer.native_svi.engine import NativeSteps
from pyroxene.infer.native_svi.inductor import InductorSteps
from pyroxene.infer.native_svi.known import Built, Known
from pyroxene.infer.native_svi.rehearsal import Rehearsal
from pyroxene.infer.native_svi.run import Run
from pyroxene.infer.native_svi.seen import EagerStep
from pyroxene.logger import log
from pyroxene.poutine.runtime import am_i_wrapped

__all__ = ["Stepper"]

_MOST_STRUCTURES = 8

_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What recording may raise beyond what it should: the program itself has just run, so it is to go on running."""


class Stepper:
    """The engines of one SVI; final.

    Args:
        model: the model.
        guide: the guide.
        optim: the optimiser.
        loss_and_grads: what an eager step calls; other engines stand in for the method of an ELBO alone.

    Attributes:
        parts: model, guide, optimiser, loss and gradients: what it was made of.
        engine: of the latest steps.
        reason: why that one; empty where it was not asked.
    """

    def __init__(
        self, model: Callable[..., Any], guide: Callable[..., Any], optim: Any, loss_and_grads: Callable[..., Any]
    ) -> None:
        self.parts = (model, guide, optim, loss_and_grads)
        self._model = model
        self._guide = guide
        self._optim = optim
        self._known: dict[Any, Known] = {}
        self._costs = {engine: terms.build for engine, terms in TERMS.items()}
        self._lock = threading.Lock()
        self._loss = numpy.zeros(1)
        self._latest: Arguments | None = None
        self._elbo: ELBO | None = None
        owner = getattr(loss_and_grads, "__self__", None)
        if isinstance(owner, ELBO) and getattr(loss_and_grads, "__func__", None) is ELBO.loss_and_grads:
            self._elbo = owner
        self.engine, self.reason = EAGER, ""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": {}, "_latest": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())

    def _may(self) -> bool:
        self.engine = EAGER
        if self._elbo is None:
            self.reason = "the loss is no ELBO whose gradient the engine knows"
        elif settings.value_of("svi_engine") == EAGER:
            self.reason = "the setting svi_engine asks for it"
        elif settings.value_of("module_local_params"):
            self.reason = "parameters are local to modules"
        elif am_i_wrapped():
            self.reason = "handlers are active around the step"
        else:
            return True
        return False

    # what is known ---------------------------------------------------------------------------------------------------

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
        latest = self._latest
        if latest is None or not latest.are(args, kwargs):
            latest = self._latest = Arguments(args, kwargs)
        return latest

    def _find(self, arguments: Arguments) -> Known | None:
        return self._known.get((settings.value_of("svi_engine"), arguments.structure))

    def _saw(self, arguments: Arguments, seen: EagerStep) -> Known:
        """Take note of an eager step; of too many structures one for which nothing was built is forgotten."""
        setting = settings.value_of("svi_engine")
        key = (setting, arguments.structure)
        known = self._known.pop(key, None)
        if known is None:
            engines = [NATIVE, INDUCTOR] if setting == "auto" else [setting]
            known = Known(arguments, engines, setting != "auto" or not seen.has_network, self._costs)
        self._known[key] = known
        if len(self._known) > _MOST_STRUCTURES:
            del self._known[next((key for key, old in self._known.items() if not old.built), next(iter(self._known)))]
        known.notice(arguments, seen)
        return known

    def _build_due(self, known: Known, left: int | None) -> None:
        """Build what is to be tried now; where that fails, what comes next."""
        while engine := known.contest.due(left):
            self._build(known, engine)
        self.reason = known.contest.reason

    def _build(self, known: Known, engine: str) -> None:
        seen = known.seen
        assert self._elbo is not None and seen is not None
        known.builds[engine] = known.builds.get(engine, 0) + 1
        begin, rehearsal = time.perf_counter(), Rehearsal()
        program = (self._elbo, self._model, self._guide, self._optim, known.last)
        try:
            steps = (
                NativeSteps(*program, sorted(known.varying), seen, rehearsal)
                if engine == NATIVE
                else InductorSteps(*program, seen, rehearsal)
            )
            read = (*known.last.objects(), *rehearsal.constants())
            guards = Guards(self._model, self._guide, *read)  # afterwards: a program may count its runs
        except (CaptureError, CompilerError) as error:
            reason = str(error).partition("\nTrace Shapes")[0].replace("\n  ", "; ")
            log.info("SVI steps on eager PyTorch: %s", reason)
            known.contest.refuse(engine, reason)
        except _FAULTS as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            log.warning("SVI steps on eager PyTorch: recording them failed, a fault of pyroxene's; %s", reason)
            known.contest.refuse(engine, reason)
        else:
            known.built[engine] = Built(steps, guards)
            known.contest.built(engine, time.perf_counter() - begin)
            if steps.reason:
                log.info("the optimiser steps in Python, on native gradients: %s", steps.reason)

    # one step --------------------------------------------------------------------------------------------------------

    def step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
        """Take a step where an engine is ready for such arguments; return its loss, or None: take an eager one."""
        if not self._known or not self._may():
            return None
        arguments = self._arguments(args, kwargs)
        known = self._find(arguments)
        if known is None or known.active is None or not known.is_valid(arguments):
            return None
        active, contest = known.active, known.contest
        if not active.steps.is_torch_s and settings.value_of("svi_engine") == "auto":
            if contest.trial:
                contest.refuse(contest.trial, "single steps would not draw torch's random numbers")
            return None
        if not self._lock.acquire(blocking=False):
            return None
        try:
            begin = time.perf_counter()
            active.steps.begin(arguments, self._loss)
            try:
                active.steps.advance(1)
            finally:
                active.steps.end()
            self.engine = contest.active
            if contest.is_open:
                contest.took(contest.active, time.perf_counter() - begin)
                self._build_due(known, None)
        finally:
            self._lock.release()
        return float(self._loss[0])

    def saw(self, args: tuple[Any, ...], kwargs: dict[str, Any], seen: EagerStep) -> None:
        """Take note of an eager call of `step`, and build what is due."""
        if self._may():
            known = self._saw(self._arguments(args, kwargs), seen)
            self._build_due(known, None)

    # many steps ------------------------------------------------------------------------------------------------------

    def for_run(
        self, left: int, args: tuple[Any, ...], kwargs: dict[str, Any], seen: EagerStep | None = None
    ) -> Run | None:
        """Return some steps on an engine, or None: take an eager one, and `reason` says why.

        Args:
            left: how many steps the run is still to make.
            args: the model's arguments.
            kwargs: the model's keyword arguments.
            seen: what the eager step before showed, if there was one.
        """
        if not self._may():
            return None
        arguments = self._arguments(args, kwargs)
        known = self._find(arguments) if seen is None else self._saw(arguments, seen)
        if known is None:
            return None
        waits = not known.is_valid(arguments) and known.active is not None  # for an eager step to check the arguments
        if not waits:
            self._build_due(known, left)
        active, contest = known.active, known.contest
        if active is None or waits:
            return None
        self.engine = contest.active
        return Run(active.steps, arguments, 1 if contest.trial else left, contest)
