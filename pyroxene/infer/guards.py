"""What a program reads besides its arguments: remembered when it is recorded, looked at before it is trusted again."""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import torch

__all__ = ["Guards"]

_PLAIN = (int, float, complex, str, bytes, bool, type(None))
_OPAQUE = (types.ModuleType, type, types.BuiltinFunctionType, torch.Tensor, *_PLAIN)
_MOST_OBJECTS = 200
_MOST_VALUES = 300  # to look at all of them takes 30 us
_SAMPLED = 64  # elements of a numpy array that are compared
_OWN = ("pyroxene", "torch", "numpy")

_ABSENT = object()


def _mark(value: Any, whole_arrays: bool) -> Any:
    """Return what must stay equal for a value to be the same as before."""
    if isinstance(value, torch.Tensor):
        return (id(value), value._version)
    if type(value) in _PLAIN:
        return (type(value), value)
    if isinstance(value, numpy.ndarray) and value.dtype != object:
        every = 1 if whole_arrays else max(value.size // _SAMPLED, 1)
        return (id(value), value.shape, hash(value.reshape(-1)[::every].tobytes()))
    return id(value)


def _names(code: types.CodeType) -> Iterator[str]:
    """Return the global names that a function, and the functions inside it, read."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


class Guards:
    """Globals, closures and attributes that some functions read; final.

    Functions are followed into those they call, objects into their attributes, dicts and lists into their entries, up
    to a number of objects. Attributes of modules that begin with an underscore, and what this package, torch and numpy
    keep, are not looked at.

    Args:
        functions: the model, the guide.
        strict: whether all elements of numpy arrays are compared, in the place of at most 64 of each; and which object
            each name stands for, and modules' parameters.

    Attributes:
        is_complete: whether all was remembered: there is a limit, and objects of other languages hide what they hold.
    """

    def __init__(self, *functions: Callable[..., Any], strict: bool = False) -> None:
        self.is_complete = True
        self._strict = strict
        self._found: list[tuple[Callable[[], Any], Any, Any]] = []
        self._seen: set[int] = set()
        self._waiting: deque[Any] = deque()
        for function in functions:
            self._follow(function)
        while self._waiting:  # what is near comes first: beyond some number of objects the rest is not looked at
            self._expand(self._waiting.popleft())

    def hold(self) -> bool:
        """Say whether all that was remembered is as it was."""
        return all(_mark(read(), self._strict) == mark for read, mark, _ in self._found)

    def _add(self, read: Callable[[], Any], value: Any) -> None:
        self._found.append((read, _mark(value, self._strict), value))  # the value too, so that no other gets its id

    def _remember(self, read: Callable[[], Any]) -> None:
        value = read()
        self._add(read, value)
        self._follow(value)

    def _follow(self, value: Any) -> None:
        if isinstance(value, (*_OPAQUE, numpy.ndarray)) or id(value) in self._seen:
            return
        if len(self._seen) < _MOST_OBJECTS:
            self._seen.add(id(value))
            self._waiting.append(value)
        else:
            self.is_complete = False

    def _expand(self, value: Any) -> None:
        if isinstance(value, types.MethodType):
            self._follow(value.__func__)
            self._follow(value.__self__)
        elif isinstance(value, types.FunctionType):
            self._follow_function(value)
        elif isinstance(value, functools.partial):
            for part in (value.func, *value.args, *value.keywords.values()):
                self._follow(part)
        elif isinstance(value, dict):
            self._remember_length(value)
            for key in list(value):
                self._remember_leaf(functools.partial(value.get, key, _ABSENT))
        elif isinstance(value, list):
            self._remember_length(value)
            self.is_complete &= len(value) <= _MOST_OBJECTS
            for position in range(min(len(value), _MOST_OBJECTS)):
                self._remember_leaf(functools.partial(_entry, value, position))
        elif isinstance(value, tuple):
            for item in value:
                self._follow(item)
        elif type(value).__module__.partition(".")[0] not in _OWN or isinstance(value, torch.nn.Module):
            self._follow_object(value)

    def _follow_function(self, function: types.FunctionType) -> None:
        for cell in function.__closure__ or ():
            self._remember(functools.partial(_content, cell))
        if (function.__module__ or "").partition(".")[0] in _OWN:
            return
        for name in dict.fromkeys(_names(function.__code__)):
            if name in function.__globals__:
                self._remember(functools.partial(function.__globals__.get, name, _ABSENT))
                self._follow_module(function.__globals__[name], function)

    def _follow_module(self, module: Any, function: types.FunctionType) -> None:
        """Remember the attributes of a user's module that a function may read: those that its code names."""
        if not isinstance(module, types.ModuleType) or module.__name__.partition(".")[0] in _OWN:
            return
        for name in dict.fromkeys(_names(function.__code__)):
            if name in vars(module):
                self._remember(functools.partial(vars(module).get, name, _ABSENT))

    def _follow_object(self, value: Any) -> None:
        for name in ("forward", "__call__"):
            method = type(value).__dict__.get(name)
            if isinstance(method, types.FunctionType):
                self._follow(method)
        for child in getattr(value, "_modules", {}).values():
            self._follow(child)
        if not hasattr(value, "__dict__"):
            self.is_complete = False
        watched = ("_parameters", "_buffers") if self._strict else ()
        for name in list(getattr(value, "__dict__", {})):
            if not (name.startswith("_") and isinstance(value, torch.nn.Module)) or name in watched:
                self._remember_leaf(functools.partial(value.__dict__.get, name, _ABSENT))

    def _remember_length(self, values: dict[Any, Any] | list[Any]) -> None:
        """Remember how many entries there are; not where a program may count its runs in them."""
        if self._strict:
            self._add(functools.partial(len, values), len(values))

    def _remember_leaf(self, read: Callable[[], Any]) -> None:
        """Remember a number, a string or a tensor; follow other objects, which may come and go without meaning much."""
        value = read()
        is_leaf = isinstance(value, (torch.Tensor, numpy.ndarray)) or type(value) in _PLAIN
        if not is_leaf:
            self._follow(value)
        if not is_leaf and not self._strict:
            return
        if len(self._found) < _MOST_VALUES:
            self._add(read, value)
        else:
            self.is_complete = False


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return _ABSENT


def _entry(values: list[Any], position: int) -> Any:
    return values[position] if position < len(values) else _ABSENT
