"""Reading a module's tensor as a `param` statement, and keeping the module and the parameter store of one mind."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms import transform_to
from pyroxene.errors import ConstraintError, OptionError
from pyroxene.params import get_param_store, param_with_module_name
from pyroxene.poutine.runtime import apply_stack, handlers_in_force, new_message
from pyroxene.settings import value_of

__all__ = ["Slot", "constrained_value", "forget_leaves", "read_parameter", "read_plain_module", "unconstrain"]

_STORE = get_param_store()

Transform = Callable[[torch.Tensor], torch.Tensor] | None


class Slot:
    """How to read one declared parameter: names, constraint and transform, looked up once; final."""

    __slots__ = ("constraint", "declared", "event_dim", "full_name", "key", "transform")

    def __init__(self, name: str, full_name: str, declared: tuple[Constraint, int | None]) -> None:
        self.declared = declared
        self.constraint, self.event_dim = declared
        self.full_name = full_name
        self.key = name + "_unconstrained"
        plain = self.constraint is constraints.real or self.constraint is constraints.real_vector
        self.transform: Transform = None if plain else transform_to(self.constraint)


def constrained_value(transform: Transform, leaf: torch.Tensor, *name_and_init: Any, **declared: Any) -> torch.Tensor:
    """Return a parameter's value; its attribute `unconstrained` is a weak reference to the leaf.

    Args:
        transform: from unconstrained to constrained; None where they are the same.
        leaf: the unconstrained tensor.
        *name_and_init: what a param statement's function is called with; not used.
        **declared: the same.
    """
    value = leaf if transform is None else transform(leaf)
    value.unconstrained = weakref.ref(leaf)  # type: ignore[attr-defined]
    return value


def unconstrain(name: str, value: object, constraint: Constraint) -> torch.Tensor:
    """Return the unconstrained counterpart of a value that satisfies a constraint.

    Raises:
        OptionError: the value is no tensor.
        ConstraintError: the value violates the constraint.
    """
    if not isinstance(value, torch.Tensor):
        raise OptionError(
            f"the value of parameter '{name}' is no tensor",
            expected="a torch.Tensor, or for PyroParam a function that returns one",
            got=value,
            hint=f"torch.tensor({value!r})" if isinstance(value, (int, float)) else None,
        )
    if constraint is constraints.real:
        return value
    with torch.no_grad():
        if not bool(torch.as_tensor(constraint.check(value)).all()):
            raise ConstraintError(
                f"the value of parameter '{name}' violates its constraint",
                expected=constraint,
                got=value.detach(),
                hint="start inside the constraint, or declare another one",
            )
        inverse: torch.Tensor = transform_to(constraint).inv(value.detach())
    return inverse


def read_parameter(
    full_name: str,
    leaf: torch.Tensor,
    declared: Slot | None,
    replace: Callable[[torch.nn.Parameter], None] | None = None,
) -> torch.Tensor:
    """Make a param statement of a module's tensor and return what the handlers made of it.

    Args:
        full_name: the statement's name.
        leaf: the module's own, unconstrained tensor.
        declared: the slot of a declared parameter; None for a plain `nn.Parameter`.
        replace: puts the store's leaf in the place of the module's where the store holds another one under this name;
            without it the store takes the module's.

    Returns:
        the constrained value.
    """
    constraint: Constraint = constraints.real
    transform: Transform = None
    event_dim: int | None = None
    if declared is not None:
        constraint, transform, event_dim = declared.constraint, declared.transform, declared.event_dim
    if not value_of("module_local_params"):
        if _STORE.leaf(full_name) is not leaf:
            leaf = _agree(full_name, leaf, constraint, transform, replace)
    if not handlers_in_force():
        return constrained_value(transform, leaf)
    msg = new_message(
        "param",
        full_name,
        partial(constrained_value, transform, leaf),
        (full_name, leaf) if declared is None else (full_name,),
        {"constraint": constraint, "event_dim": event_dim},
    )
    value: torch.Tensor = apply_stack(msg)["value"]
    return value


def _agree(
    name: str,
    leaf: torch.Tensor,
    constraint: Constraint,
    transform: Transform,
    replace: Callable[[torch.nn.Parameter], None] | None,
) -> torch.Tensor:
    """Bring the store and a module that hold different leaves under one name together.

    A declared parameter takes the store's leaf, so that a loaded store or an equally named module shares it; a plain
    `nn.Parameter` goes into the store, since the module's own tensor is what its code reads by other ways too.

    Raises:
        ParamStoreError: the two differ in shape or constraint.
    """
    if not isinstance(leaf, torch.nn.Parameter):
        return leaf  # swapped in for one call by torch.func.functional_call: nobody's parameter
    stored = _STORE.leaf(name)
    if stored is not None:
        with torch.no_grad():
            _STORE.setdefault(name, leaf if transform is None else transform(leaf), constraint)
        if replace is not None:
            if not isinstance(stored, torch.nn.Parameter):
                stored = torch.nn.Parameter(stored)
                _STORE.put_leaf(name, stored, constraint)
            replace(stored)
            return stored
    _STORE.put_leaf(name, leaf, constraint)
    return leaf


def read_plain_module(full_name: str, module: torch.nn.Module) -> None:
    """Make a param statement, "name$$$parameter", of each trainable parameter of a module that is no PyroModule."""
    if value_of("module_local_params") and not handlers_in_force():
        return
    named = module.named_parameters() if module._modules else module._parameters.items()  # the latter is 5 times faster
    for name, leaf in named:
        if leaf is not None and leaf.requires_grad:
            read_parameter(param_with_module_name(full_name, name), leaf, None)


def forget_leaves(leaves: Iterable[torch.Tensor | None]) -> None:
    """Remove tensors from the parameter store; those it does not hold are passed over."""
    for leaf in leaves:
        name = None if leaf is None else _STORE.param_name(leaf)
        if name is not None:
            del _STORE[name]
