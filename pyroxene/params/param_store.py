"""The parameter store: parameters are read constrained, kept and optimised unconstrained, and found by name."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, ItemsView, Iterator, KeysView, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypedDict

import torch
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms import transform_to
from pyroxene.errors import ParamStoreError, UsageError, describe
from pyroxene.params.checkpoint import load_state, same_constraint, save_state
from pyroxene.params.names import (
    module_from_param_with_module_name,
    normalize_param_name,
    param_with_module_name,
    user_param_name,
)

__all__ = [
    "ParamStoreDict",
    "StateDict",
    "clear_param_store",
    "get_param_store",
    "module_from_param_with_module_name",
    "normalize_param_name",
    "param_with_module_name",
    "user_param_name",
]


class StateDict(TypedDict):
    """A store's contents: `params` unconstrained by name, `constraints` by name."""

    params: dict[str, torch.Tensor]
    constraints: dict[str, Constraint]


class _Scope:
    """The contents of a store; `transforms` holds None where constrained and unconstrained are one tensor."""

    __slots__ = ("constraints", "names", "params", "transforms")

    def __init__(self) -> None:
        self.params: dict[str, torch.Tensor] = {}
        self.constraints: dict[str, Constraint] = {}
        self.transforms: dict[str, Callable[[torch.Tensor], torch.Tensor] | None] = {}
        self.names: dict[torch.Tensor, str] = {}

    def insert(self, name: str, unconstrained: torch.Tensor, constraint: Constraint) -> None:
        self._forget_leaf(name)
        self.params[name] = unconstrained  # a name that is known keeps its place in the order
        self.constraints[name] = constraint
        plain = isinstance(constraint, type(constraints.real)) or constraint is constraints.real_vector
        self.transforms[name] = None if plain else transform_to(constraint)
        self.names[unconstrained] = name

    def remove(self, name: str) -> None:
        if name in self.params:
            self._forget_leaf(name)
            del self.params[name], self.constraints[name], self.transforms[name]

    def _forget_leaf(self, name: str) -> None:
        leaf = self.params.get(name)
        if leaf is not None and self.names.get(leaf) == name:  # two names may share a leaf
            del self.names[leaf]

    def replace(self, state: StateDict) -> None:
        for name in list(self.params):
            self.remove(name)
        for name, value in state["params"].items():
            self.insert(name, value, state["constraints"].get(name, constraints.real))

    def export(self) -> StateDict:
        for value in self.params.values():
            value.__dict__.pop("unconstrained", None)  # a weak reference does not pickle
        return {"params": dict(self.params), "constraints": dict(self.constraints)}


_OPEN: ContextVar[dict[int, _Scope]] = ContextVar("pyroxene_open_scopes")
"""The scope that each store (by id) is in, in the current thread or task; absent: its own contents."""


def _leaf(value: torch.Tensor) -> torch.Tensor:
    """Make a value a leaf that collects gradients, without copying a leaf that already does."""
    if value.is_leaf and value.requires_grad:
        return value
    return value.detach().requires_grad_(True)


class ParamStoreDict(MutableMapping[str, torch.Tensor]):
    """A dictionary from names to constrained values of learnable parameters.

    Reading gives the constrained value, a function of the unconstrained leaf that optimisers step. The value's
    attribute `unconstrained` is a weak reference to that leaf: `store["scale"].unconstrained()`.

    Example:
        >>> from pyroxene.distributions import constraints
        >>> store = ParamStoreDict()
        >>> scale = store.setdefault("scale", torch.tensor(2.0), constraint=constraints.positive)
        >>> round(scale.item(), 4), round(scale.unconstrained().item(), 4)
        (2.0, 0.6931)
    """

    def __init__(self) -> None:
        self._own = _Scope()
        self._named: dict[str, _Scope] = {}

    @property
    def _scope(self) -> _Scope:
        opened = _OPEN.get(None)
        return self._own if opened is None else opened.get(id(self), self._own)

    # the mapping -----------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return the constrained value, differentiable with respect to the unconstrained leaf."""
        scope = self._scope
        unconstrained = scope.params[name]
        transform = scope.transforms[name]
        value = unconstrained if transform is None else transform(unconstrained)
        value.unconstrained = weakref.ref(unconstrained)  # type: ignore[attr-defined]
        return value

    def __setitem__(self, name: str, new_constrained_value: torch.Tensor) -> None:
        """Set a constrained value; the name keeps its constraint, a new name is unconstrained."""
        constraint = self._scope.constraints.get(name, constraints.real)
        self._set_constrained(name, new_constrained_value, constraint)

    def __delitem__(self, name: str) -> None:
        if name not in self._scope.params:
            raise KeyError(name)
        self._scope.remove(name)

    def __contains__(self, name: object) -> bool:
        return name in self._scope.params

    def __iter__(self) -> Iterator[str]:
        return iter(self._scope.params)

    def __len__(self) -> int:
        return len(self._scope.params)

    def __bool__(self) -> bool:
        return bool(self._scope.params)

    def clear(self) -> None:
        """Forget every parameter."""
        for name in list(self._scope.params):
            self._scope.remove(name)

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._scope.params.keys()

    def setdefault(
        self,
        name: str,
        init_constrained_value: torch.Tensor | Callable[[], torch.Tensor],
        constraint: Constraint = constraints.real,
    ) -> torch.Tensor:
        """Return the constrained value of `name`, which is created where it is missing.

        Args:
            name: the parameter's name.
            init_constrained_value: the first value, or a function without arguments that makes it.
            constraint: what the value satisfies.

        Raises:
            ParamStoreError: the store holds a parameter of this name with another shape or constraint.
            ConstraintError: the first value violates the constraint.
        """
        if name in self._scope.params:
            self._check_same(name, init_constrained_value, constraint)
        else:
            value = init_constrained_value() if callable(init_constrained_value) else init_constrained_value
            self._set_constrained(name, value, constraint)
        return self[name]

    def _set_constrained(self, name: str, value: torch.Tensor, constraint: Constraint) -> None:
        if not isinstance(value, torch.Tensor):
            raise ParamStoreError(
                f"the value of param '{name}' is no tensor",
                expected="a torch.Tensor",
                got=value,
                hint="torch.tensor(...)",
            )
        with torch.no_grad():
            inside = constraint.check(value)
            unconstrained = transform_to(constraint).inv(value)
        if not bool(torch.as_tensor(inside).all()):
            raise ParamStoreError(
                f"the value of param '{name}' violates its constraint",
                expected=constraint,
                got=value.detach(),
                hint="start inside the constraint, or drop it",
            )
        plain = unconstrained is value
        self._scope.insert(name, _leaf(value if plain else unconstrained.clone()), constraint)

    def _check_same(self, name: str, init: object, constraint: Constraint) -> None:
        """Refuse to hand a stale parameter of another kind to a statement that describes a different one."""
        scope = self._scope
        stored, known = scope.params[name], scope.constraints[name]
        if constraint is not constraints.real and constraint is not known and not same_constraint(constraint, known):
            raise ParamStoreError(
                f"param '{name}' is in the store with another constraint",
                expected=constraint,
                got=known,
                hint="pyroxene.clear_param_store() before a new model, or give the parameter another name",
            )
        if isinstance(init, torch.Tensor):
            transform = scope.transforms[name]
            shape = stored.shape if transform is None else self[name].shape
            if init.shape != shape:
                raise ParamStoreError(
                    f"param '{name}' is in the store with another shape, perhaps left there by an earlier model",
                    expected=f"shape {tuple(init.shape)}",
                    got=f"shape {tuple(shape)}",
                    hint="pyroxene.clear_param_store() before a new model, or give the parameter another name",
                )

    # by leaf, by pattern ---------------------------------------------------------------------------------------------

    def named_parameters(self) -> ItemsView[str, torch.Tensor]:
        """Return (name, unconstrained leaf) pairs."""
        return self._scope.params.items()

    def leaf(self, name: str) -> torch.Tensor | None:
        """Return the unconstrained leaf of a name, or None where the store does not hold it."""
        return self._scope.params.get(name)

    def put_leaf(self, name: str, leaf: torch.Tensor, constraint: Constraint = constraints.real) -> None:
        """Enter a tensor itself, not a copy, as the unconstrained leaf of a name.

        Args:
            name: the parameter's name; a leaf that it had is forgotten.
            leaf: a leaf tensor that requires gradients.
            constraint: what the constrained value satisfies.
        """
        self._scope.insert(name, leaf, constraint)

    def param_name(self, p: torch.Tensor) -> str | None:
        """Return the name of an unconstrained leaf, or None where the store does not hold it."""
        return self._scope.names.get(p)

    def match(self, name: str) -> dict[str, torch.Tensor]:
        """Return the constrained values of all parameters whose name matches a regular expression."""
        pattern = re.compile(name)
        return {key: self[key] for key in self if pattern.match(key)}

    def replace_param(self, param_name: str, new_param: torch.Tensor, old_param: torch.Tensor) -> None:
        """Put a new unconstrained leaf in the place of an old one, under the same name and constraint."""
        scope = self._scope
        if scope.params[param_name] is not old_param:
            raise ParamStoreError(
                f"param '{param_name}' is not the tensor to be replaced",
                expected=describe(old_param),
                got=describe(scope.params[param_name]),
                hint=f"old_param=store[{param_name!r}].unconstrained()",
            )
        scope.insert(param_name, new_param, scope.constraints[param_name])

    def get_param(
        self, name: str, init_tensor: torch.Tensor | None = None, constraint: Constraint = constraints.real
    ) -> torch.Tensor:
        """Return the constrained value; with `init_tensor`, as `setdefault`."""
        return self[name] if init_tensor is None else self.setdefault(name, init_tensor, constraint)

    def get_all_param_names(self) -> KeysView[str]:
        """Return the names."""
        return self.keys()

    # whole states ----------------------------------------------------------------------------------------------------

    def get_state(self) -> StateDict:
        """Return the contents: the leaves themselves, not copies, and the constraints."""
        return self._scope.export()

    def set_state(self, state: StateDict) -> None:
        """Replace the contents by what `get_state` returned."""
        if not isinstance(state, dict) or set(state) != {"params", "constraints"}:
            raise UsageError(
                "this is no parameter store's state",
                expected="a dict with the keys 'params' and 'constraints'",
                got=sorted(state) if isinstance(state, dict) else state,
                hint="set_state takes what get_state returned; load(filename) reads a file",
            )
        self._scope.replace({**state, "params": {k: _leaf(v) for k, v in state["params"].items()}})

    def save(self, filename: Any) -> None:
        """Write the contents to a file that `torch.load(filename, weights_only=True)` accepts."""
        save_state(self.get_state(), filename)

    def load(self, filename: Any, map_location: Any = None) -> None:
        """Replace the contents by those of a file that `save`, or Pyro's `save`, wrote.

        Args:
            filename: a path or an open binary file.
            map_location: as in `torch.load`.
        """
        self.set_state(load_state(filename, map_location))

    @contextmanager
    def scope(self, state: StateDict | str | None = None) -> Iterator[Any]:
        """Work on other contents inside a `with` block, in this thread only.

        Args:
            state: the contents to start from; or a name, under which the store keeps them from block to block;
                or None for empty contents.

        Yields:
            the state, a dict that holds the contents after the block; the name's contents where a name was given.

        Example:
            >>> store = ParamStoreDict()
            >>> with store.scope("first") as first:
            ...     _ = store.setdefault("x", torch.zeros(()))
            >>> "x" in store, "x" in first["params"]
            (False, True)
        """
        inner = self._named.setdefault(state, _Scope()) if isinstance(state, str) else _Scope()
        given: StateDict = state if isinstance(state, dict) else inner.export()
        if isinstance(state, dict):
            inner.replace(state)
        token = _OPEN.set({**_OPEN.get({}), id(self): inner})
        try:
            yield given
        finally:
            _OPEN.reset(token)
            given.update(inner.export())

    def __getstate__(self) -> dict[str, Any]:
        return {"own": self._own.export(), "named": {name: scope.export() for name, scope in self._named.items()}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        ParamStoreDict.__init__(self)
        self._own.replace(state["own"])
        for name, contents in state["named"].items():
            self._named[name] = _Scope()
            self._named[name].replace(contents)


_DEFAULT = ParamStoreDict()


def get_param_store() -> ParamStoreDict:
    """Return the process's parameter store."""
    return _DEFAULT


def clear_param_store() -> None:
    """Forget every parameter of the process's store; call it before a new model."""
    _DEFAULT.clear()
