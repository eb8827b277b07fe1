"""The statement `scan`: a loop in a model, with sample statements in it, that an engine can keep as a loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _pytree as pytree

from pyroxene.compiler.scan import scan as scan_tensors
from pyroxene.distributions import TorchDistribution, constraints
from pyroxene.distributions.util import scale_and_mask
from pyroxene.errors import PlateError, ShapeError, SiteError, UsageError, describe, user_source
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.runtime import handlers_at_work, new_message, send_down, send_up
from pyroxene.poutine.trace_struct import site_is_subsample

__all__ = ["scan"]

Step = Callable[[Any, Any], tuple[Any, Any]]


class _Sequence(TorchDistribution):
    """The joint distribution of one statement's values over all steps of a scan; final.

    An event is a sequence, shape (length,) + the event shape of one step. Its log density is known for the values of
    the run that made it, since the density of a step may depend on all steps before.
    """

    arg_constraints: dict[str, constraints.Constraint] = {}

    def __init__(self, first: Any, length: int, batch_shape: torch.Size | None = None) -> None:
        self.first = first
        self.length = length
        self.value: torch.Tensor | None = None
        self.total: torch.Tensor | None = None
        batch = first.batch_shape if batch_shape is None else batch_shape
        super().__init__(batch, torch.Size([length, *first.event_shape]), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """That of the first step, for each."""
        return constraints.independent(self.first.support, 1)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether draws of a step have gradients."""
        return bool(self.first.has_rsample)

    def expand(self, batch_shape: Any, _instance: Any = None) -> _Sequence:
        """Return the distribution with a larger batch shape."""
        return _Sequence(self.first, self.length, torch.Size(batch_shape))

    def sample(self, sample_shape: Any = ()) -> torch.Tensor:
        """Draw every step from the first step's distribution: a place to start from, no draw of the sequence."""
        first = self.first.expand(self.batch_shape)
        shape = torch.Size(sample_shape)
        return torch.stack([first.sample(shape) for _ in range(self.length)], -1 - len(first.event_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of the values that the run had, shape batch_shape."""
        if self.value is not value or self.total is None:
            raise UsageError(
                "a scan's log density is known for the values of its own run only",
                expected="the site's value",
                got=describe(value),
                hint="run the model again with poutine.substitute or poutine.condition",
            )
        return self.total


@dataclass
class _Site:
    """One statement in the steps of a scan, seen as one site from outside."""

    message: Message
    reached: int
    given: torch.Tensor | None
    values: int = -1
    kept: list[Any] = field(default_factory=list)


class _Inner(Messenger):
    """Keeps the sample statements of a step to itself, and makes one site of each over all steps."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self.outside = handlers_at_work()
        self.sites: dict[str, _Site] = {}
        self.at: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor
        self.collected: list[torch.Tensor] = []
        self.seen: list[str] = []

    def _pyro_sample(self, msg: Message) -> None:
        name = msg["name"]
        if site_is_subsample(msg) or any(frame.vectorized for frame in msg["cond_indep_stack"]):
            raise PlateError(
                f"a plate stands inside a scan's step, at '{name}'",
                site=name,
                source=msg["source"],
                expected="the plate around the scan, or to_event()",
                got="a plate in the step",
            )
        if name not in self.sites:
            self._begin(msg)
        site = self.sites[name]
        msg["stop"] = True
        batch = site.message["fn"].batch_shape
        if msg["fn"].batch_shape != batch:
            msg["fn"] = msg["fn"].expand(batch)
        if site.given is not None and not msg["is_observed"]:
            msg["value"] = self.at(site.given)
            msg["done"] = True

    def _begin(self, msg: Message) -> None:
        """Ask the handlers outside what they make of the site, at the first step that has it."""
        outer = new_message("sample", msg["name"], _Sequence(msg["fn"], self.length), is_observed=msg["is_observed"])
        outer["infer"] = dict(msg["infer"])
        outer["source"] = msg["source"]
        reached = send_up(outer, self.outside)
        given = None
        if outer["value"] is not None and not msg["is_observed"]:
            given = self._steps(outer)
            outer["done"] = True
        self.sites[str(msg["name"])] = _Site(outer, reached, given)

    def _steps(self, outer: Message) -> torch.Tensor:
        """Return a given value with its steps first."""
        value, fn = outer["value"], outer["fn"]
        shape = fn.batch_shape + fn.event_shape
        if value.shape[-len(fn.event_shape) :] != fn.event_shape:
            raise ShapeError(
                f"the value of site '{outer['name']}' does not fit its scan",
                site=outer["name"],
                source=outer["source"],
                expected=f"shape {tuple(shape)}: batch, {self.length} steps, event",
                got=describe(value),
            )
        return value.expand(shape).movedim(len(fn.batch_shape), 0)

    def _pyro_post_sample(self, msg: Message) -> None:
        name = str(msg["name"])
        site = self.sites[name]
        weighted: Any = 0.0
        if msg["mask"] is not False:
            log_prob = msg["fn"].log_prob(msg["value"], *msg["args"], **msg["kwargs"])
            weighted = scale_and_mask(log_prob, msg["scale"], msg["mask"])
        self.seen.append(name)
        batch = site.message["fn"].batch_shape
        self.collected.append(torch.as_tensor(weighted, dtype=_floating(msg["value"])).expand(batch))
        if site.given is None:
            self.collected.append(torch.as_tensor(msg["value"]))

    def finish(self, stacked: list[torch.Tensor]) -> None:
        """Hand each site on to the handlers outside, with its value and log density over all steps."""
        columns = iter(stacked)
        for name in self.seen:
            site = self.sites[name]
            message = site.message
            fn = message["fn"]
            total = next(columns).sum(0)
            value = message["value"] if site.given is not None else next(columns).movedim(0, len(fn.batch_shape))
            message["value"], message["done"] = value, True
            fn.value, fn.total = value, total
        for name in self.seen:
            send_down(self.sites[name].message, self.outside, self.sites[name].reached)


def _floating(value: torch.Tensor) -> torch.dtype:
    return value.dtype if value.is_floating_point() else torch.get_default_dtype()


def _length(leaves: list[Any], length: int | None) -> int:
    found = {int(leaf.shape[0]) for leaf in leaves}
    if length is not None:
        found.add(length)
    if len(found) != 1 or min(found) < 1:
        raise ShapeError(
            "a scan needs one number of steps",
            source=user_source(3),
            expected="tensors of one length along their first dimension, or `length`",
            got=[describe(leaf) for leaf in leaves] + ([] if length is None else [f"length={length}"]),
        )
    return found.pop()


def scan(step: Step, init: Any, xs: Any = None, length: int | None = None, *, reverse: bool = False) -> tuple[Any, Any]:
    """Run a step on each slice of some tensors, carrying a state along; sample statements may stand in the step.

    A statement in the step is one site of the run: its value has the steps as a dimension before the event, shape
    batch_shape + (length,) + event_shape. Engines keep the loop as a loop: thousands of steps are built as fast as
    one. Plates stand around a scan, not in its step. A latent site's support must not change from step to step.

    Args:
        step: (carry, x) -> (new carry, output), each a tensor or a tuple, list or dict of them; x is None without `xs`.
        init: the first carry.
        xs: tensors whose first dimension is the steps.
        length: how many steps; not needed with `xs`.
        reverse: go through the slices from the last.

    Returns:
        the last carry, and the outputs stacked along a new first dimension, shape (length, ...).

    Raises:
        ShapeError: lengths differ, or a step changes the shape of the carry.
        PlateError: a plate stands inside the step.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> def walk(position, _):
        ...     position = pyroxene.sample("position", dist.Normal(position, 1.0))
        ...     return position, position
        >>> last, path = scan(walk, torch.tensor(0.0), length=5)
        >>> path.shape, bool(path[-1] == last)
        (torch.Size([5]), True)
    """
    carries, carry_form = pytree.tree_flatten(init)
    carries = [torch.as_tensor(leaf) for leaf in carries]
    slices, slice_form = pytree.tree_flatten(xs)
    slices = [leaf for leaf in slices if leaf is not None]
    steps = _length(slices, length)
    inner = _Inner(steps)
    output_form: list[Any] = []

    def run(
        now: list[torch.Tensor], parts: list[torch.Tensor], at: Callable[[torch.Tensor], torch.Tensor]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        inner.at, inner.collected, inner.seen = at, [], []
        x = pytree.tree_unflatten(parts, slice_form) if parts else None
        with inner:
            after, output = step(pytree.tree_unflatten(now, carry_form), x)
        leaves, form = pytree.tree_flatten(after)
        if form != carry_form:
            raise SiteError(
                "a step of a scan changes the form of what it carries",
                source=user_source(),
                expected=str(carry_form),
                got=str(form),
            )
        outputs, output_form[:] = _flat(output)
        return [torch.as_tensor(leaf) for leaf in leaves], [*outputs, *inner.collected]

    last, stacked = scan_tensors(run, carries, slices, steps, reverse)
    own = len(stacked) - len(inner.collected)
    inner.finish(stacked[own:])
    output = pytree.tree_unflatten(stacked[:own], output_form[0]) if own else None
    return pytree.tree_unflatten(last, carry_form), output


def _flat(output: Any) -> tuple[list[torch.Tensor], list[Any]]:
    """Return the tensors of a step's output and its form; None has none."""
    leaves, form = pytree.tree_flatten(output)
    return [torch.as_tensor(leaf) for leaf in leaves if leaf is not None], [form]
