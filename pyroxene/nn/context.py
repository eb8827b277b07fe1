"""One call of a tree of PyroModules: while it lasts, attributes are statements and random values are drawn once.

What a call remembers hangs on one ContextVar, not on the module, so threads and tasks that run one module at the same
time never see each other's draws, and a copy or a pickle made inside a call is not inside it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, Concatenate, TypeVar

from pyroxene._typing import P, R
from pyroxene.params import StateDict, get_param_store
from pyroxene.settings import value_of

__all__ = ["Context", "open_calls", "pyro_method"]

_Self = TypeVar("_Self")


class _Call:
    """What one call of a module tree remembers: its random values by full name, how often it was entered again."""

    __slots__ = ("depth", "scope", "values")

    def __init__(self, scope: AbstractContextManager[Any] | None) -> None:
        self.values: dict[str, Any] = {}
        self.depth = 1
        self.scope = scope


_CALLS: ContextVar[dict[Context, _Call]] = ContextVar("pyroxene_module_calls", default={})  # noqa: B039 (never mutated)

open_calls = _CALLS.get
"""Return the calls in progress in this thread or task, by the context of their module tree."""


class Context:
    """A tree of modules as `_pyro_context`; all its modules share one. Entering it begins a call; final.

    Attributes:
        used: whether a call was ever begun.
        param_state: with the setting `module_local_params`, the global parameters that the tree's calls asked for.
    """

    used = False
    param_state: StateDict

    @property
    def active(self) -> int:
        """How deep this thread is inside calls of the tree; 0 outside."""
        call = _CALLS.get().get(self)
        return 0 if call is None else call.depth

    @property
    def cache(self) -> dict[str, Any]:
        """The random values drawn so far in this call, by full name; empty outside."""
        call = _CALLS.get().get(self)
        return {} if call is None else call.values

    def get(self, name: str) -> Any:
        """Return the value that this call has drawn for a full name; None where it has not."""
        return self.cache.get(name)

    def set(self, name: str, value: Any) -> None:
        """Give a full name its value for the rest of this call; has no effect outside."""
        self.cache[name] = value

    def __enter__(self) -> Context:
        calls = _CALLS.get()
        call = calls.get(self)
        if call is not None:
            call.depth += 1
            return self
        scope = self._own_params() if value_of("module_local_params") else None
        _CALLS.set({**calls, self: _Call(scope)})
        self.used = True
        return self

    def __exit__(self, *exc: Any) -> None:
        calls = _CALLS.get()
        call = calls[self]
        call.depth -= 1
        if call.depth == 0:
            _CALLS.set({context: other for context, other in calls.items() if context is not self})
            if call.scope is not None:
                call.scope.__exit__(*exc)

    def _own_params(self) -> AbstractContextManager[Any]:
        """Put the global store away for the length of a call, so that nothing of the module's reaches it."""
        if "param_state" not in self.__dict__:
            self.param_state = {"params": {}, "constraints": {}}
        scope = get_param_store().scope(self.param_state)
        scope.__enter__()
        return scope


def pyro_method(fn: Callable[Concatenate[_Self, P], R]) -> Callable[Concatenate[_Self, P], R]:
    """Make a method of a PyroModule a call like `__call__`: its attributes are statements, drawn once.

    Args:
        fn: the method.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.nn import PyroModule, PyroSample
        >>> class Model(PyroModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.x = PyroSample(dist.Normal(0.0, 1.0))
        ...     @pyro_method
        ...     def twice(self):
        ...         return self.x, self.x
        >>> first, second = Model().twice()
        >>> bool(first == second)
        True
    """

    @functools.wraps(fn)
    def method(self: _Self, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._pyro_context:  # type: ignore[attr-defined]
            return fn(self, *args, **kwargs)

    return method
