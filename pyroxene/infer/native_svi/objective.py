"""The loss as a pure function: of the parameters as one flat vector, of a plate's indices, of data, and of noise."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.distributions import Dirichlet, Distribution

from pyroxene._typing import Model
from pyroxene.compiler.recorder import draws_so_far
from pyroxene.density.validation import unvalidated, without_checks
from pyroxene.errors import CaptureError
from pyroxene.infer.arguments import Arguments
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.native_svi.seen import Subset
from pyroxene.infer.native_svi.substitution import Substitution
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger, block_messengers
from pyroxene.poutine.runtime import share_subsamples
from pyroxene.poutine.trace_struct import Trace

__all__ = ["Objective", "Slot", "as_function", "slots_of"]


@dataclass(frozen=True)
class Slot:
    """Where one leaf lives in the flat vector; final.

    Attributes:
        leaf: the unconstrained tensor.
        start: of its elements.
    """

    leaf: torch.Tensor
    start: int

    def cut(self, z: torch.Tensor) -> torch.Tensor:
        """Return the leaf's part of a flat vector, in its shape."""
        return z[self.start : self.start + self.leaf.numel()].reshape(self.leaf.shape)


def slots_of(leaves: Sequence[torch.Tensor]) -> list[Slot]:
    """Return the places of leaves, one after the other."""
    slots = []
    start = 0
    for leaf in leaves:
        slots.append(Slot(leaf, start))
        start += leaf.numel()
    return slots


def _dirichlet(fn: Dirichlet, sample_shape: Sequence[int] = ()) -> torch.Tensor:
    concentration = fn.concentration.expand(fn._extended_shape(torch.Size(sample_shape)))
    gammas = torch._standard_gamma(concentration)
    return gammas / gammas.sum(-1, keepdim=True)


def _by_gammas(fn: Any) -> Any:
    """Return a distribution whose Dirichlet draws, and so its beta draws, are quotients of gamma variates.

    The gradient is that of the quotient: as unbiased as torch's, which takes another path, and known to the compiler.
    """
    changed = {
        name: new
        for name, part in vars(fn).items()
        if isinstance(part, Distribution) and (new := _by_gammas(part)) is not part
    }
    if isinstance(fn, Dirichlet) and fn.has_rsample:
        changed["rsample"] = functools.partial(_dirichlet, fn)
    if not changed:
        return fn
    twin = copy.copy(fn)
    vars(twin).update(changed)
    return twin


class _ByGammas(Messenger):
    """Draws beta and Dirichlet variates from gamma variates."""

    def _pyro_sample(self, msg: Message) -> None:
        if isinstance(msg["fn"], Distribution):
            msg["fn"] = _by_gammas(msg["fn"])


class _Unvalidated(Messenger):
    """Stills the checks of distributions that were told to check."""

    def _pyro_sample(self, msg: Message) -> None:
        if isinstance(msg["fn"], Distribution):
            msg["fn"] = unvalidated(msg["fn"])


@contextlib.contextmanager
def as_function() -> Iterator[None]:
    """Run a program as a function of what it reads: no handler of outside sees it, and nothing is checked."""
    with block_messengers(lambda handler: True), without_checks(), _Unvalidated():
        yield


@dataclass
class Objective:
    """One particle's loss, the negative ELBO; final.

    Attributes:
        elbo: the estimator.
        model: the model.
        guide: the guide.
        slots: the leaves that are optimised.
        subsets: the plates that draw indices, in the order of a step.
        arguments: the model's.
        inputs: which tensors among the arguments are inputs; the others are constants.
        before: of each subset, how many random operations a recording came to before it was used.
    """

    elbo: ELBO
    model: Model
    guide: Model
    slots: list[Slot]
    subsets: list[Subset]
    arguments: Arguments
    inputs: tuple[int, ...] = ()
    before: dict[str, int] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """The length of the flat vector."""
        return sum(slot.leaf.numel() for slot in self.slots)

    @property
    def repeats(self) -> int:
        """How many particles a step averages, one run each."""
        return 1 if self.elbo.vectorize_particles else self.elbo.num_particles

    def __call__(self, z: torch.Tensor, indices: torch.Tensor, *tensors: torch.Tensor) -> torch.Tensor:
        """Return the loss.

        Args:
            z: the leaves, shape (dim,).
            indices: of all plates that draw them, one after the other; not read where there is none.
            tensors: the arguments that are inputs.

        Raises:
            CaptureError: a site is not reparametrised, so the loss has no gradient of its own.
        """
        args, kwargs = self.arguments.replaced(self.inputs, tensors)
        parameters = Substitution([slot.leaf for slot in self.slots], [slot.cut(z) for slot in self.slots])
        get_trace = self.elbo._get_vectorized_trace if self.elbo.vectorize_particles else self.elbo._get_trace
        given = share_subsamples(given=self._subsets(indices))
        with as_function(), given, _ByGammas(), parameters:
            model_trace, guide_trace = get_trace(self.model, self.guide, args, kwargs)
            _refuse_score_functions(guide_trace)
            elbo = self.elbo._elbo(model_trace, guide_trace)
            surrogate = self.elbo._surrogate(model_trace, guide_trace, elbo)
        if not isinstance(elbo, torch.Tensor) or not isinstance(surrogate, torch.Tensor):
            raise CaptureError("the loss is a number: it does not depend on any parameter")
        if surrogate is not elbo:  # the value of one, the gradient of the other
            elbo = surrogate + (elbo - surrogate).detach()
        return -elbo / self.elbo.num_particles if self.elbo.vectorize_particles else -elbo

    def _subsets(self, indices: torch.Tensor) -> dict[str, tuple[int, torch.Tensor]]:
        given = _GivenSubsets(self.before)
        start = 0
        for subset in self.subsets:
            given[subset.name] = (subset.size, indices[start : start + subset.count])
            start += subset.count
        return given


class _GivenSubsets(dict[str, tuple[int, torch.Tensor]]):
    """Indices of plates, which notes when each is used first: at that moment an eager step draws them."""

    def __init__(self, before: dict[str, int]) -> None:
        super().__init__()
        self._before = before

    def __getitem__(self, name: str) -> tuple[int, torch.Tensor]:
        self._before.setdefault(name, draws_so_far())
        return super().__getitem__(name)


def _refuse_score_functions(guide_trace: Trace) -> None:
    for name, site in guide_trace.nodes.items():
        if site["type"] != "sample":
            continue
        score_function = site["score_parts"].score_function
        if isinstance(score_function, torch.Tensor) or score_function != 0:
            raise CaptureError(
                "the guide draws a value through which no gradient passes; its gradient needs the score function",
                site=name,
                source=site.get("source"),
                expected="a distribution with rsample",
                got=type(site["fn"]).__name__,
            )
