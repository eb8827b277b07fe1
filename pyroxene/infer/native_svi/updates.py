"""A torch optimiser's options and state as the C update reads and writes them; see csrc/updates.h."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from pyroxene.errors import CaptureError
from pyroxene.optim import PyroOptim
from pyroxene.optim.clipped_adam import ClippedAdam
from pyroxene.optim.cohort import Cohort

__all__ = ["FIELDS", "Mirror", "Updates", "mirrored"]

FIELDS = (
    "rule", "first", "count", "first_member", "members",
    "step", "rate", "decay", "beta1", "beta2", "epsilon", "momentum", "dampening", "nesterov", "variant", "maximize",
    "clip_norm", "clip_value", "largest", "rate_decay",
)  # fmt: skip
"""Of the struct `group` of csrc/updates.h."""

_FIELD = {name: number for number, name in enumerate(FIELDS)}

Mirror = tuple[Any, int, torch.Tensor]
"""One of our arrays, where in it, and the torch tensor that holds the same numbers."""


@dataclass(frozen=True)
class _Rule:
    """How C knows an optimiser: its number, which state it keeps in which vector, and whether it counts in a tensor."""

    number: int
    vectors: dict[str, int]
    counts: str = "tensor"


_RULES = {
    torch.optim.SGD: _Rule(0, {"momentum_buffer": 0}, "none"),
    torch.optim.Adam: _Rule(1, {"exp_avg": 0, "exp_avg_sq": 1, "max_exp_avg_sq": 2}),
    torch.optim.AdamW: _Rule(2, {"exp_avg": 0, "exp_avg_sq": 1, "max_exp_avg_sq": 2}),
    ClippedAdam: _Rule(3, {"exp_avg": 0, "exp_avg_sq": 1}, "number"),
    torch.optim.RMSprop: _Rule(4, {"square_avg": 0, "momentum_buffer": 1, "grad_avg": 2}),
    torch.optim.Adagrad: _Rule(5, {"sum": 0}),
}


def mirrored(leaf: torch.Tensor) -> bool:
    """Say whether C can read and write a tensor."""
    return leaf.device.type == "cpu" and leaf.dtype in (torch.float32, torch.float64) and leaf.is_contiguous()


def _options(kind: type[Any], group: dict[str, Any]) -> dict[str, float]:
    """Return an optimiser's options by the names of `FIELDS`."""
    beta1, beta2 = group.get("betas", (0.0, group.get("alpha", 0.0)))
    decoupled = group.get("decoupled_weight_decay", False)
    number = _RULES[kind].number if not (kind is torch.optim.Adam and decoupled) else 2
    return {
        "rule": number,
        "rate": group["lr"],
        "decay": group.get("weight_decay", 0.0),
        "beta1": beta1,
        "beta2": beta2,
        "epsilon": group.get("eps", 0.0),
        "momentum": group.get("momentum", 0.0),
        "dampening": group.get("dampening", 0.0),
        "nesterov": group.get("nesterov", False),
        "variant": group.get("amsgrad", group.get("centered", group.get("centered_variance", False))),
        "maximize": group.get("maximize", False),
        "largest": group.get("clip_norm", math.inf),
        "rate_decay": group.get("lrd", group.get("lr_decay", 1.0)),
    }


class _Part:
    """The members of one cohort that are stepped; final."""

    def __init__(self, cohort: Cohort, members: list[torch.Tensor], row: numpy.ndarray) -> None:
        self.cohort = cohort
        self.members = members
        self.row = row
        self.kind = type(cohort.optimizer)
        self.rule = _RULES[self.kind]
        clip = cohort.recipe.clip
        norm, value = (None, None) if clip is None else (clip.norm, clip.value)
        row[_FIELD["clip_norm"]] = math.inf if norm is None else norm
        row[_FIELD["clip_value"]] = math.inf if value is None else value
        self._given: dict[str, Any] | None = None

    def states(self) -> list[dict[str, Any]]:
        state = self.cohort.optimizer.state
        return [state.get(member, {}) for member in self.members]  # a look-up by [] would enter an empty one

    def read(self) -> None:
        """Take over the options in force, and the count where that is a Python number."""
        group = self.cohort.optimizer.param_groups[0]
        if group != self._given:
            self._given = dict(group)
            for name, value in _options(self.kind, group).items():
                self.row[_FIELD[name]] = float(value)
        if self.rule.counts == "number":
            self.row[_FIELD["rate"]] = group["lr"]
            self.row[_FIELD["step"]] = self.states()[0]["step"]

    def write(self) -> None:
        """Hand over what torch keeps as Python numbers."""
        if self.rule.counts == "number":
            group = self.cohort.optimizer.param_groups[0]
            group["lr"] = float(self.row[_FIELD["rate"]])
            assert self._given is not None
            self._given["lr"] = group["lr"]
            step = int(self.row[_FIELD["step"]])
            for state in self.states():
                state["step"] = step

    def mirrors(self, vectors: Sequence[numpy.ndarray], starts: Sequence[int]) -> list[Mirror]:
        found: list[Mirror] = []
        for start, state in zip(starts, self.states()):
            for name, position in self.rule.vectors.items():
                if isinstance(state.get(name), torch.Tensor):
                    found.append((vectors[position], start, state[name]))
            if self.rule.counts == "tensor":
                found.append((self.row, _FIELD["step"], state["step"]))
        return found


class Updates:
    """What a `PyroOptim` does in a step, for C; final.

    Attributes:
        leaves: the parameters in the order in which they stand in the flat vector.
        rows: the groups, shape (number of groups, len(FIELDS)).
        starts: of each parameter, and the end.

    Args:
        optim: the optimiser, after a step of it.
        leaves: the parameters that have gradients.

    Raises:
        CaptureError: the optimiser has no rule in C.
    """

    def __init__(self, optim: Any, leaves: Sequence[torch.Tensor]) -> None:
        if not isinstance(optim, PyroOptim) or type(optim).__call__ is not PyroOptim.__call__:
            raise CaptureError(f"{getattr(optim, '__name__', type(optim).__name__)} is no optimiser of pyroxene.optim")
        self._optim = optim
        self._active = optim._active
        wanted = {id(leaf) for leaf in leaves}
        parts = [(cohort, [p for p in cohort.params if id(p) in wanted]) for cohort in self._active]
        parts = [(cohort, members) for cohort, members in parts if members]
        for cohort, members in parts:
            _refuse_unknown(cohort, members)
        self.leaves = [leaf for _, members in parts for leaf in members]
        self.rows = numpy.zeros((len(parts), len(FIELDS)))
        self.starts = numpy.cumsum([0, *(leaf.numel() for leaf in self.leaves)], dtype=numpy.int64)
        self._parts = [_Part(cohort, members, row) for (cohort, members), row in zip(parts, self.rows)]
        first = 0
        for part, row in zip(self._parts, self.rows):
            last = first + len(part.members)
            row[_FIELD["first"]], row[_FIELD["count"]] = self.starts[first], self.starts[last] - self.starts[first]
            row[_FIELD["first_member"]], row[_FIELD["members"]] = first, len(part.members)
            first = last

    @property
    def is_current(self) -> bool:
        """Whether the optimiser still steps these parameters in these groups."""
        return self._optim._active is self._active

    def read(self) -> None:
        """Take over the options in force."""
        for part in self._parts:
            part.read()

    def write(self) -> None:
        """Hand over what torch keeps as Python numbers."""
        for part in self._parts:
            part.write()

    def mirrors(self, vectors: Sequence[numpy.ndarray]) -> list[Mirror]:
        """Return the state that torch keeps in tensors, each with its place here.

        Args:
            vectors: three, each as long as the flat vector.
        """
        found: list[Mirror] = []
        position = 0
        for part in self._parts:
            starts = [int(start) for start in self.starts[position : position + len(part.members)]]
            found.extend(part.mirrors(vectors, starts))
            position += len(part.members)
        return found


def _refuse_unknown(cohort: Cohort, members: Iterable[torch.Tensor]) -> None:
    optimizer = cohort.optimizer
    rule = _RULES.get(type(optimizer))
    name = type(optimizer).__name__
    if rule is None:
        raise CaptureError(f"{name} has no form in C")
    group = optimizer.param_groups[0]
    if any(isinstance(value, torch.Tensor) for value in group.values() if not isinstance(value, list)):
        raise CaptureError(f"an option of {name} is a tensor")
    if group.get("differentiable") or group.get("capturable"):
        raise CaptureError(f"{name} is differentiable or capturable")
    counts = set()
    for member in members:
        state = optimizer.state.get(member, {})
        if type(optimizer) is torch.optim.SGD and group["momentum"] == 0:
            continue
        tensors = [state[key] for key in rule.vectors if isinstance(state.get(key), torch.Tensor)]
        if not tensors or not all(mirrored(tensor) for tensor in tensors):
            raise CaptureError(f"{name} keeps its state in another form than on its first steps on a CPU")
        counts.add(float(state["step"]) if rule.counts != "none" else 0.0)
    if len(counts) > 1:
        raise CaptureError(f"parameters that {name} steps together have made different numbers of steps")
