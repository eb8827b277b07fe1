"""Steps whose loss and gradients torch.compile made of a recording; the optimiser steps in Python, as ever."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch

from pyroxene.density.validation import without_checks
from pyroxene.errors import CaptureError, CompilerError
from pyroxene.infer.arguments import Arguments
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.native_svi.objective import as_function
from pyroxene.infer.native_svi.recording import record
from pyroxene.infer.native_svi.rehearsal import Rehearsal
from pyroxene.infer.native_svi.seen import EagerStep, are_stepped
from pyroxene.infer.util import zero_grads
from pyroxene.poutine.runtime import share_subsamples
from pyroxene.rng import get_rng_state, set_rng_state

__all__ = ["InductorSteps"]

CHECK_TOLERANCE = {torch.float64: 1e-7, torch.float32: 1e-3}
"""Relative to the largest entry of all gradients; in single precision sums in another order differ by 1e-5."""

_FAILURES = (ImportError, LookupError, OSError, RuntimeError, SyntaxError, TypeError, ValueError, AttributeError)


class InductorSteps:
    """Steps of one model, guide, estimator and optimiser on arguments of one structure; final.

    Attributes:
        names: of the param statements, with the leaf that each reads.
        arguments: those that it was made with.
        is_torch_s: True; a seed gives the random numbers of eager PyTorch.
        reason: empty.

    Args:
        elbo: the estimator.
        model: the model.
        guide: the guide.
        optim: the optimiser.
        arguments: the model's; all tensors among them may change from step to step.
        seen: what an eager step showed.
        rehearsal: the recording runs in it.

    Raises:
        CaptureError: the step cannot be recorded; the message says why.
        CompilerError: torch.compile fails, or what it made differs from eager.
    """

    is_torch_s = True
    reason = ""

    def __init__(
        self,
        elbo: ELBO,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        optim: Any,
        arguments: Arguments,
        seen: EagerStep,
        rehearsal: Rehearsal,
    ) -> None:
        seen.refuse()
        self.names, self.arguments = seen.names, arguments
        self._optim, self._params, self._leaves = optim, seen.params, seen.reached
        self._losses, self._done = numpy.zeros(0), 0
        self._take(arguments)
        if any(tensor.device.type != "cpu" for tensor in (*self._leaves, *self._tensors)):
            raise CaptureError("steps are recorded on the CPU alone")

        def function(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
            leaves, tensors = inputs[: len(self._leaves)], inputs[len(self._leaves) :]
            args, kwargs = arguments.replaced(range(len(tensors)), tensors)
            return _loss_and_gradients(elbo, model, guide, args, kwargs, leaves)

        with rehearsal, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of deprecations inside torch, and of tensors that are traced
            recording = _recorded(function, [*self._leaves, *self._tensors])
            rehearsal.refuse_changes()
            self._noise = recording.noise
            with without_checks():  # which restores them: the first torch.compile switches torch's off for good
                self._program = torch.compile(recording.program, dynamic=False, options={"fallback_random": True})
                self._check(function)

    def _take(self, arguments: Arguments) -> None:
        """Take over arguments; contiguous, since other strides would be another program."""
        self._tensors = [tensor.detach().contiguous() for tensor in arguments.tensors]

    def _call(self) -> tuple[torch.Tensor, ...]:
        with torch.no_grad():
            leaves = [leaf.detach() for leaf in self._leaves]
            result: tuple[torch.Tensor, ...] = self._program(*leaves, *self._tensors, *self._noise())
            return result

    def _check(self, function: Callable[..., tuple[torch.Tensor, ...]]) -> None:
        state = get_rng_state()
        expected = function(*self._leaves, *self._tensors)
        set_rng_state(state)
        try:
            found = self._call()
        except (*_FAILURES, subprocess.SubprocessError) as error:
            raise CompilerError(f"torch.compile failed, {_first_line(error)}") from error
        largest = max(1.0, *(tensor.abs().max().item() for tensor in expected if tensor.numel()))
        gap = max((a - b).abs().max().item() for a, b in zip(found, expected) if a.numel()) / largest
        tolerance = max(CHECK_TOLERANCE.get(tensor.dtype, 1e-2) for tensor in expected)
        if not gap <= tolerance:
            raise CompilerError(
                f"the loss of torch.compile differs from eager PyTorch by {gap:.1e} of its size",
                expected=f"at most {tolerance:.0e}",
                got=f"{gap:.1e}",
                hint="does the model, or the guide, compute something else at each call?",
            )
        self._shared = _shared(found[1:], self._leaves, self._tensors)

    @property
    def is_current(self) -> bool:
        """Whether nobody watches or stops gradients."""
        return are_stepped(self._leaves)

    def covers(self, changed: Sequence[int]) -> bool:
        """Say that all arguments may have other numbers."""
        return True

    def begin(self, arguments: Arguments, losses: numpy.ndarray) -> None:
        """Make ready for steps.

        Args:
            arguments: of the structure that this was made for.
            losses: where each step's loss goes.
        """
        self._take(arguments)
        self._losses, self._done = losses, 0

    def advance(self, count: int) -> None:
        """Make steps; torch's tensors hold the result."""
        for _ in range(count):
            loss, *gradients = self._call()
            for position, (leaf, gradient) in enumerate(zip(self._leaves, gradients)):
                own = torch.empty_like(leaf).copy_(gradient) if position in self._shared else gradient
                leaf.grad = own
            self._optim(self._params)
            self._losses[self._done] = loss.item()
            self._done += 1

    def end(self) -> int:
        """Set gradients to zero, as an eager step leaves them; return how many steps were made."""
        zero_grads(self._params)
        return self._done


def _loss_and_gradients(
    elbo: ELBO,
    model: Callable[..., Any],
    guide: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    leaves: Sequence[torch.Tensor],
) -> tuple[torch.Tensor, ...]:
    """Return what an eager step computes: the loss, and its gradient by each leaf."""
    loss: Any = 0.0
    surrogate: Any = 0.0
    with as_function(), share_subsamples(isolated=True), torch.enable_grad():
        for model_trace, guide_trace in elbo._get_traces(model, guide, args, kwargs):
            term = elbo._elbo(model_trace, guide_trace)
            loss = loss - term / elbo.num_particles
            surrogate = surrogate - elbo._surrogate(model_trace, guide_trace, term) / elbo.num_particles
        if not isinstance(loss, torch.Tensor) or not isinstance(surrogate, torch.Tensor):
            raise CaptureError("the loss is a number: it does not depend on any parameter")
        gradients = torch.autograd.grad(surrogate, list(leaves), materialize_grads=True)
    return loss.detach(), *gradients


def _recorded(function: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> Any:
    try:
        return record(function, inputs)
    except CaptureError:
        raise
    except _FAILURES as error:
        raise CaptureError(f"a step cannot be recorded, {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line[:200]}"


def _shared(
    gradients: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor], tensors: Sequence[torch.Tensor]
) -> set[int]:
    """Return which gradients an optimiser must not write to: they share memory, or are laid out unlike the leaf."""
    taken = {tensor.untyped_storage().data_ptr() for tensor in (*leaves, *tensors)}
    found = set()
    for position, (gradient, leaf) in enumerate(zip(gradients, leaves)):
        memory = gradient.untyped_storage().data_ptr()
        if memory in taken or gradient.stride() != leaf.stride() or gradient.dtype != leaf.dtype:
            found.add(position)
        taken.add(memory)
    return found
