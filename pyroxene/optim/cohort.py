"""A cohort: parameters that started together with equal options and share one torch optimiser and one schedule.

Pyro gives each parameter a torch optimiser of its own. torch's optimisers update every tensor of a group by itself,
so a shared one computes the same numbers, in one step instead of many. What differs between separate optimisers
and a shared one is whatever belongs to the group (the learning rate under a schedule or a decay); so a cohort is
always stepped as a whole, and is split where a call passes only some of its members.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from pyroxene.errors import DataError
from pyroxene.optim.adagrad_rmsprop import AdagradRMSProp
from pyroxene.optim.clipped_adam import ClippedAdam
from pyroxene.optim.dct_adam import DCTAdam
from pyroxene.optim.options import Clip, equal

__all__ = ["Cohort", "Recipe", "State", "check_state"]

State = dict[str, Any]
"""One parameter's state: a torch optimiser's state_dict of one tensor, or {"scheduler": ..., "optimizer": ...}."""

_UNCOUPLED = frozenset(
    {
        torch.optim.ASGD,
        torch.optim.Adadelta,
        torch.optim.Adafactor,
        torch.optim.Adagrad,
        torch.optim.Adam,
        torch.optim.AdamW,
        torch.optim.Adamax,
        torch.optim.Muon,
        torch.optim.NAdam,
        torch.optim.RAdam,
        torch.optim.RMSprop,
        torch.optim.Rprop,
        torch.optim.SGD,
        torch.optim.SparseAdam,
        AdagradRMSProp,
        ClippedAdam,
        DCTAdam,
    }
)
"""Optimisers that update each tensor of a group by itself: tests/optim compares each with separate optimisers."""

# Measured on six parameters of 1 to 20 entries, one CPU thread, torch 2.13, microseconds a step:
#            one optimiser each   shared, default   foreach   fused
#   Adam            274                 152           132       46
#   Adagrad         187                  93            93       39
#   SGD, momentum                        56            49       25
#   RMSprop         208                 110            90        -
#   Adadelta        280                 174           134        -
#   Adamax          233                 123           108        -
#   NAdam           298                 185           164        -
#   RAdam           351                 231           162        -
#   ASGD            234                 133           193        -
#   Rprop           400                 259           259        -
#   Adafactor       325                 207           275        -
# Fused SGD is left out: it mishandles a momentum buffer that starts later than others of its group.
_FUSED = frozenset({torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad})
_FOREACH = _FUSED | {
    torch.optim.SGD,
    torch.optim.RMSprop,
    torch.optim.Adadelta,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
}
_IMPLEMENTATIONS = ("foreach", "fused", "capturable", "differentiable")


@dataclass(frozen=True)
class Recipe:
    """How to make the torch optimiser of a parameter, and what schedules it; final.

    Args:
        constructor: the optimiser's class, or a function of (params, **options).
        options: its keyword arguments.
        clip: how the gradient is clipped before a step.
        schedule: makes a scheduler from an optimiser, or None.
        shareable: whether parameters may share an optimiser.
    """

    constructor: Callable[..., Optimizer]
    options: Mapping[str, Any]
    clip: Clip | None
    schedule: Callable[[Optimizer], Any] | None
    shareable: bool

    def agrees(self, other: Recipe) -> bool:
        """Say whether a parameter with this recipe may share an optimiser with one of the other recipe."""
        return (
            self.shareable
            and other.shareable
            and self.constructor in _UNCOUPLED
            and self.clip == other.clip
            and equal(self.options, other.options)
        )


def check_state(name: str, state: Any, scheduled: bool) -> None:
    """Refuse a state that is not one parameter's.

    Args:
        name: the parameter's name, for the message.
        state: what is to be checked.
        scheduled: whether a scheduler's state belongs to it.

    Raises:
        DataError: it is not what `PyroOptim.get_state` returns for a parameter.
    """
    inner = state
    if scheduled:
        inner = state.get("optimizer") if isinstance(state, dict) and "scheduler" in state else None
    fits = isinstance(inner, dict) and isinstance(inner.get("state"), dict)
    if fits:
        groups = inner.get("param_groups")
        fits = isinstance(groups, list) and len(groups) == 1 and len(groups[0].get("params", ())) == 1
    if not fits:
        plain = "{'state': {0: ...}, 'param_groups': [{..., 'params': [0]}]}"
        raise DataError(
            "this is no state of an optimiser of this kind",
            site=name,
            expected=f"{{'scheduler': ..., 'optimizer': {plain}}}" if scheduled else plain,
            got=f"a dict with the keys {sorted(map(str, state))}" if isinstance(state, dict) else state,
            hint="it must come from get_state() or save() of the same kind of optimiser",
        )


class Cohort:
    """Parameters that share one torch optimiser and one schedule; final.

    Args:
        params: leaf tensors of one dtype on one device.
        recipe: how to make the optimiser.
        states: one state for each parameter, equal but for what belongs to a tensor, or None to start afresh.
    """

    __slots__ = ("_fused", "optimizer", "params", "recipe", "scheduler")

    def __init__(self, params: Sequence[torch.Tensor], recipe: Recipe, states: Sequence[State] | None = None) -> None:
        self.params = list(params)
        self.recipe = recipe
        settings = self._settings(recipe.options)
        self.optimizer = recipe.constructor(self.params, **{**settings, **recipe.options})
        self.scheduler: Any = None if recipe.schedule is None else recipe.schedule(self.optimizer)
        self._fused = self.params[0].device.type == "cpu" and bool(self.optimizer.param_groups[0].get("fused"))
        if states is not None:
            self._load(states)

    def step(self, *args: Any, **kwargs: Any) -> None:
        """Clip each gradient, then step the torch optimiser with these arguments."""
        if self._fused:
            self._prepare_fused()
        if self.recipe.clip is not None:
            self.recipe.clip(self.params)
        self.optimizer.step(*args, **kwargs)

    def export(self) -> list[State]:
        """Return a copy of each parameter's state, as an optimiser of its own would give it."""
        whole = self.optimizer.state_dict()
        group = {key: value for key, value in whole["param_groups"][0].items() if key != "params"}
        group.update(self._said(group))
        states = []
        for index in whole["param_groups"][0]["params"]:
            own = {0: whole["state"][index]} if index in whole["state"] else {}
            state = {**whole, "state": own, "param_groups": [{**group, "params": [0]}]}
            if self.scheduler is not None:
                state = {"scheduler": self.scheduler.state_dict(), "optimizer": state}
            states.append(copy.deepcopy(state))
        return states

    def subset(self, params: Sequence[torch.Tensor]) -> Cohort:
        """Return a cohort of some of the members that goes on where this one stands."""
        part = Cohort(params, self.recipe)
        for param in params:
            if param in self.optimizer.state:
                part.optimizer.state[param] = self.optimizer.state[param]
        part._set_group({key: value for key, value in self.optimizer.param_groups[0].items() if key != "params"})
        if self.scheduler is not None:
            part.scheduler.load_state_dict(copy.deepcopy(self.scheduler.state_dict()))
            if hasattr(self.optimizer, "_opt_called"):  # what torch's warning about the order of steps looks at
                part.optimizer._opt_called = self.optimizer._opt_called  # type: ignore[attr-defined]
        return part

    def _set_group(self, values: Mapping[str, Any]) -> None:
        self.optimizer.param_groups[0].update(values)
        self._fused = self._fused and bool(values.get("fused"))

    def _load(self, states: Sequence[State]) -> None:
        """Set the members' states, all at once."""
        plain = [state["optimizer"] if self.scheduler is not None else state for state in states]
        fresh = self.optimizer.param_groups[0]  # has the options that an older version did not write
        group = {**fresh, **plain[0]["param_groups"][0], "params": list(range(len(plain)))}
        group.update(self._said(group))
        group.update(self._settings(group))
        tensors = {i: own["state"][0] for i, own in enumerate(plain) if 0 in own["state"]}
        self.optimizer.load_state_dict(copy.deepcopy({**plain[0], "state": tensors, "param_groups": [group]}))
        self._fused = self._fused and bool(group.get("fused"))
        if self._fused:
            for own in self.optimizer.state.values():
                own.update({k: v.contiguous() for k, v in own.items() if isinstance(v, torch.Tensor)})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(copy.deepcopy(states[0]["scheduler"]))

    def _said(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the user said about implementations that `_settings` chooses among."""
        ours = ("foreach", "fused") if self.recipe.constructor in _FOREACH else ()
        return {key: self.recipe.options.get(key) for key in ours if key in group}

    def _settings(self, values: Mapping[str, Any]) -> dict[str, bool]:
        """Choose torch's fastest implementation for small tensors on a CPU, where the user chose none.

        Args:
            values: the options in force; a tensor among them rules out what is chosen here.
        """
        constructor = self.recipe.constructor
        if (
            constructor not in _FOREACH
            or self.params[0].device.type != "cpu"
            or any(key in self.recipe.options for key in _IMPLEMENTATIONS)
            or any(isinstance(value, torch.Tensor) for value in _leaves(values.values()))
        ):
            return {}
        simple = (torch.float32, torch.float64)
        if constructor in _FUSED and all(p.dtype in simple and p.is_contiguous() for p in self.params):
            return {"fused": True}
        return {"foreach": True}

    def _prepare_fused(self) -> None:
        """Make gradients contiguous: torch's fused CPU kernels read memory in order, whatever the strides say."""
        for param in self.params:
            grad = param.grad
            if grad is None or (grad.is_contiguous() and param.is_contiguous()):
                continue
            if grad.is_sparse or not param.is_contiguous():
                self._set_group({"fused": None, "foreach": True})
                return
            param.grad = grad.contiguous()


def _leaves(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from value
        else:
            yield value
