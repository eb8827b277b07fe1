"""Constraints as plain data, so that a parameter store's file holds nothing but tensors, numbers and strings."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.errors import DataError

__all__ = ["load_state", "same_constraint", "save_state"]

_FORMAT = "pyroxene parameter store 1"


def same_constraint(one: Any, other: Any) -> bool:
    """Say whether two constraints are of one class and one set of bounds."""
    if one is other:
        return True
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        one, other = torch.as_tensor(one), torch.as_tensor(other)
        return one.shape == other.shape and bool((one == other).all())
    if isinstance(one, Constraint) and isinstance(other, Constraint):
        mine, theirs = vars(one), vars(other)
        return (
            type(one) is type(other)
            and mine.keys() == theirs.keys()
            and all(same_constraint(mine[key], theirs[key]) for key in mine)
        )
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same_constraint, one, other))
    return bool(one == other)


def _public(kind: type) -> list[tuple[str, Any]]:
    """The names of `distributions.constraints` that are instances, or the class itself, of one class."""
    return [(name, thing) for name, thing in vars(constraints).items() if thing is kind or type(thing) is kind]


def _encode(value: Any) -> Any:
    if not isinstance(value, Constraint):
        return [_encode(item) for item in value] if isinstance(value, (list, tuple)) else value
    found = _public(type(value))
    for name, thing in found:
        if isinstance(thing, Constraint) and same_constraint(thing, value):
            return {"constraint": name}
    for name, thing in found:
        if inspect.isclass(thing):
            wanted = [p for p in inspect.signature(thing).parameters if hasattr(value, p)]
            return {"constraint": name, "arguments": {p: _encode(getattr(value, p)) for p in wanted}}
    raise DataError(
        "a constraint cannot be written to a file",
        expected="a constraint of pyroxene.distributions.constraints",
        got=value,
        hint="save pyroxene.get_param_store().get_state() with torch.save, and read it with weights_only=False",
    )


def _decode(value: Any) -> Any:
    if isinstance(value, dict) and "constraint" in value:
        thing = getattr(constraints, value["constraint"], None)
        if thing is None:
            raise DataError("the file names a constraint that does not exist here", got=value["constraint"])
        return thing(**{k: _decode(v) for k, v in value["arguments"].items()}) if "arguments" in value else thing
    return [_decode(item) for item in value] if isinstance(value, list) else value


def save_state(state: Any, filename: Any) -> None:
    """Write a store's state to a path or an open binary file."""
    plain = {
        "format": _FORMAT,
        "params": {name: value.detach() for name, value in state["params"].items()},
        "constraints": {name: _encode(value) for name, value in state["constraints"].items()},
    }
    torch.save(plain, filename)


def _constraint_classes() -> list[Any]:
    """What a file of Pyro's may hold beside tensors: constraint classes, under Pyro's paths and torch's."""
    torch_path = "torch.distributions.constraints"
    allowed: list[Any] = [set, torch.nn.Parameter]
    for path in (torch_path, "pyro.distributions.constraints"):
        for thing in vars(constraints).values():
            kind = thing if inspect.isclass(thing) else type(thing)
            if isinstance(kind, type) and issubclass(kind, Constraint):
                allowed.append((kind, f"{path}.{kind.__name__}"))
    return allowed


def load_state(filename: Any, map_location: Any = None) -> Any:
    """Read a state that `save_state`, or Pyro's parameter store, wrote; runs no code from the file."""
    with torch.serialization.safe_globals(_constraint_classes()):
        stored = torch.load(filename, map_location=map_location, weights_only=True)
    if not isinstance(stored, dict) or not {"params", "constraints"} <= set(stored):
        raise DataError("this file holds no parameter store", expected="'params' and 'constraints'", got=type(stored))
    return {
        "params": {name: value.detach() for name, value in stored["params"].items()},
        "constraints": {name: _decode(value) for name, value in stored["constraints"].items()},
    }
