"""Native steps of one model and guide: built after an eager step, checked against eager, then run in C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch

from pyroxene.compiler.compile import noisy_gradient_graph
from pyroxene.compiler.engines.native.program import NativeProgram
from pyroxene.compiler.noise import Draw, GivenNoise
from pyroxene.errors import CaptureError, CompilerError
from pyroxene.infer.arguments import Arguments
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.native_svi.loop import Loop
from pyroxene.infer.native_svi.objective import Objective, slots_of
from pyroxene.infer.native_svi.rehearsal import Rehearsal
from pyroxene.infer.native_svi.seen import EagerStep, are_stepped
from pyroxene.infer.native_svi.updates import Mirror, Updates, mirrored

__all__ = ["NativeSteps", "eager_loss"]

CHECK_POINTS = 2
"""At so many points beside the current one a native loss is held against eager before it is trusted."""

CHECK_TOLERANCE = 1e-7
"""Relative to the largest entry, both in double precision."""

LARGEST = 5_000_000
"""More parameters are not worth a trial: the time of a step is in large products, which PyTorch does as well."""


class NativeSteps:
    """Steps of one model, guide, estimator and optimiser on arguments of one structure; final.

    Attributes:
        names: of the param statements, with the leaf that each reads.
        arguments: those that it was made with.
        objective: the loss.
        updates: the optimiser's rule in C; None where it steps in Python, on native gradients.
        reason: why the optimiser steps in Python.
        is_torch_s: whether a seed gives the random numbers of eager PyTorch; not where gamma variates are drawn.

    Args:
        elbo: the estimator.
        model: the model.
        guide: the guide.
        optim: the optimiser.
        arguments: the model's.
        inputs: which of their tensors may change from step to step.
        seen: what an eager step showed.
        rehearsal: the recording runs in it.

    Raises:
        CaptureError: the loss has no native form; the message says why, and where.
        CompilerError: there is no compiler, or what it made differs from eager.
    """

    def __init__(
        self,
        elbo: ELBO,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        optim: Any,
        arguments: Arguments,
        inputs: Sequence[int],
        seen: EagerStep,
        rehearsal: Rehearsal,
    ) -> None:
        _refuse(seen)
        self.names, self.arguments = seen.names, arguments
        self._optim, self._params = optim, seen.params
        self.updates, self.reason = _updates(optim, seen.reached)
        leaves = seen.reached if self.updates is None else self.updates.leaves
        self.objective = Objective(elbo, model, guide, slots_of(leaves), seen.subsets(), arguments, tuple(inputs))
        tensors = [arguments.tensors[position] for position in inputs]
        indices = torch.cat([torch.zeros(1, dtype=torch.int64)[:0], *(i for _, i in seen.drawn.values())])
        start = torch.cat([leaf.detach().reshape(-1).to(torch.float64) for leaf in leaves])
        given = [start, indices if len(indices) else torch.zeros(1, dtype=torch.int64), *tensors]
        with rehearsal:
            noisy = noisy_gradient_graph(self.objective, given)
            rehearsal.refuse_changes()
            self.is_torch_s = all(draw.kind != "key" for draw in noisy.draws)
            self._program = NativeProgram(noisy.graph)
            self._check(given, noisy.draws)
        sizes = [tensor.numel() for tensor in tensors]
        subsets, before = self.objective.subsets, self.objective.before
        self._loop = Loop(self._program, len(start), noisy.draws, subsets, before, sizes, self.objective.repeats)
        self._loop.parameters[:] = start.numpy()
        if self.updates is not None:
            self._loop.set_groups(self.updates.rows, self.updates.starts)
        self._loop.set_mirrors(self._mirrors())

    def _check(self, given: Sequence[torch.Tensor], draws: Sequence[Draw]) -> None:
        generator = torch.Generator().manual_seed(20)

        def numbers(draw: Draw) -> torch.Tensor:
            make = torch.randn if draw.kind == "normal" else torch.rand
            return make(draw.size, generator=generator, dtype=torch.float64)

        for point in range(1 + CHECK_POINTS):
            away = torch.rand(len(given[0]), generator=generator, dtype=torch.float64) - 0.5
            z = given[0] + point * 0.2 * away
            noise = torch.cat([torch.zeros(1, dtype=torch.float64)[:0], *map(numbers, draws)])
            value, gradient = self._program([z, *given[1:], noise])
            expected, expected_gradient = eager_loss(self.objective, z, given[1:], noise)
            if not bool(torch.isfinite(expected)) or not bool(torch.isfinite(expected_gradient).all()):
                continue
            scale = max(1.0, abs(expected.item()), expected_gradient.abs().max().item())
            gap = max(abs(value.item() - expected.item()), (gradient - expected_gradient).abs().max().item()) / scale
            if not gap <= CHECK_TOLERANCE:
                raise CompilerError(
                    f"the native loss differs from eager PyTorch by {gap:.1e} of its size",
                    expected=f"at most {CHECK_TOLERANCE:.0e}",
                    got=f"{gap:.1e}",
                    hint="does the model, or the guide, compute something else at each call?",
                )

    # steps -----------------------------------------------------------------------------------------------------------

    @property
    def is_current(self) -> bool:
        """Whether the optimiser still steps what it did when this was made, and nobody watches or stops gradients."""
        if not are_stepped(slot.leaf for slot in self.objective.slots):
            return False
        return self.updates is None or self.updates.is_current

    def covers(self, changed: Sequence[int]) -> bool:
        """Say whether the arguments at some positions may have other numbers."""
        return all(position in self.objective.inputs for position in changed)

    def _mirrors(self) -> list[Mirror]:
        loop = self._loop
        found: list[Mirror] = [(loop.parameters, slot.start, slot.leaf) for slot in self.objective.slots]
        return found if self.updates is None else found + self.updates.mirrors(loop.vectors)

    def _set_data(self, arguments: Arguments) -> None:
        for mine, position in zip(self._loop.data, self.objective.inputs):
            mine.copy_(arguments.tensors[position].detach().reshape(-1))

    def begin(self, arguments: Arguments, losses: numpy.ndarray) -> None:
        """Make ready for steps: read options, arguments and torch's generator.

        Args:
            arguments: of the structure that this was made for.
            losses: where each step's loss goes.
        """
        if self.updates is not None:
            self.updates.read()
        self._loop.find_mirrors()
        self._set_data(arguments)
        self._loop.losses_go_to(losses)
        self._loop.stream.take()

    def advance(self, count: int) -> None:
        """Make steps; torch's tensors hold the result."""
        if self.updates is not None:
            self._loop.steps(count)
            return
        for _ in range(count):
            self._loop.steps(1)
            self._step_in_python()

    def _step_in_python(self) -> None:
        gradient = torch.from_numpy(self._loop.gradient)
        for slot in self.objective.slots:
            slot.leaf.grad = slot.cut(gradient).to(slot.leaf.dtype)
        self._optim(self._params)
        for slot in self.objective.slots:
            slot.leaf.grad = torch.zeros_like(slot.leaf)

    def end(self) -> int:
        """Hand over what torch keeps outside of tensors, and its generator; return how many steps were made."""
        if self.updates is not None:
            self.updates.write()
        self._loop.stream.give()
        return self._loop.done


def eager_loss(
    objective: Objective, z: torch.Tensor, others: Sequence[torch.Tensor], noise: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an objective's loss and gradient on eager PyTorch in double precision, from given noise.

    Args:
        objective: the loss of one particle.
        z: the parameters, float64.
        others: indices, and the arguments that are inputs.
        noise: standard numbers in the order in which they are drawn.
    """
    leaf = z.detach().clone().requires_grad_(True)
    with GivenNoise(noise), torch.enable_grad():
        value = objective(leaf, *others)
        (gradient,) = torch.autograd.grad(value, leaf, materialize_grads=True)
    return value.detach(), gradient


def _updates(optim: Any, leaves: Sequence[torch.Tensor]) -> tuple[Updates | None, str]:
    try:
        return Updates(optim, leaves), ""
    except CaptureError as error:
        return None, str(error)


def _refuse(seen: EagerStep) -> None:
    """Refuse what is better off, or cannot be told apart from what is right, on eager PyTorch."""
    seen.refuse()
    if sum(leaf.numel() for leaf in seen.reached) > LARGEST:
        raise CaptureError(f"there are more than {LARGEST} parameters")
    if not all(mirrored(leaf) for leaf in seen.reached):
        raise CaptureError("a parameter is not a contiguous tensor of float32 or float64 on the CPU")
