"""Everything in float64: tensors are widened where they enter, and factories make wide ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["NARROW", "WideFunctions", "WideOperations", "double_precision", "map_tensors", "tensors_of"]

NARROW = (torch.float32, torch.float16, torch.bfloat16)

_aten = torch.ops.aten
_FACTORIES = {
    getattr(getattr(_aten, name), overload)
    for name, overload in (
        ("zeros", "default"),
        ("ones", "default"),
        ("empty", "memory_format"),
        ("eye", "default"),
        ("eye", "m"),
        ("linspace", "default"),
        ("rand", "default"),
        ("randn", "default"),
    )
}
_PARSE = frozenset({"tensor", "as_tensor", "full", "arange", "scalar_tensor", "asarray", "logspace", "linspace"})


def tensors_of(values: Any) -> Iterator[torch.Tensor]:
    """Return the tensors among values and in lists of them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_of(value)


def map_tensors(function: Callable[[torch.Tensor], Any], value: Any) -> Any:
    """Return a value, or lists of values, with a function applied to each tensor."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map_tensors(function, item) for item in value)
    return value


def _wide(value: Any) -> Any:
    return torch.float64 if value in NARROW else value


def _has_float(value: Any) -> bool:
    """Say whether Python floats are among what a factory is to parse: as float32 they would lose digits."""
    if isinstance(value, (list, tuple)):
        return any(_has_float(item) for item in value)
    return isinstance(value, float)


class WideFunctions(TorchFunctionMode):
    """Above dispatch: makes factories parse numbers as float64, and conversions keep it.

    Args:
        look: called with each function's name and arguments before it runs; may refuse.
    """

    def __init__(self, look: Callable[[str, Any], None] | None = None) -> None:
        super().__init__()
        self.look = look

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in NARROW:
            kwargs["dtype"] = torch.float64
        name = getattr(func, "__name__", "")
        if self.look is not None:
            self.look(name, args)
        if name in ("float", "double", "half", "bfloat16") and isinstance(args[0], torch.Tensor):
            return args[0].to(torch.float64)
        if name in ("to", "type") and any(a in NARROW for a in args if isinstance(a, torch.dtype)):
            args = tuple(_wide(a) if isinstance(a, torch.dtype) else a for a in args)
        if name in _PARSE and "dtype" not in kwargs and _has_float((*args, *kwargs.values())):
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


class WideOperations(TorchDispatchMode):
    """Below autograd: widens tensors that are older than the block, each once, and what factories make by default.

    Implementing a recorder: override `handle`, which gets the widened call.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import torch._dynamo, 1 to 3 seconds; tests/compiler/test_capture.py guards it

    def __init__(self) -> None:
        super().__init__()
        self._wide: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # by id: itself and its copy

    def widen(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor as float64."""
        if tensor.dtype not in NARROW:
            return tensor
        known = self._wide.get(id(tensor))
        if known is None:
            known = self._wide[id(tensor)] = (tensor, tensor.to(torch.float64))
        return known[1]

    def refuse_write(self) -> None:
        """Raise where a narrow tensor is written in place: its wide copy would not be the same tensor."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES and kwargs.get("dtype") is None:
            kwargs["dtype"] = torch.float64
        elif kwargs.get("dtype") in NARROW:
            kwargs["dtype"] = torch.float64
        given = list(tensors_of(args))
        if any(tensor.dtype in NARROW for tensor in given):
            if func._schema.is_mutable and args[0].dtype in NARROW:
                self.refuse_write()
                return func(*args, **kwargs)
            args = map_tensors(self.widen, args)
            given = list(tensors_of(args))
        if kwargs:
            kwargs = {key: map_tensors(self.widen, value) for key, value in kwargs.items()}
            given.extend(tensors_of(kwargs.values()))
        return self.handle(func, args, kwargs, given)

    def handle(self, func: Any, args: Any, kwargs: Any, given: list[torch.Tensor]) -> Any:
        """Run an operation.

        Args:
            func: the operation.
            args: its arguments, wide.
            kwargs: its keywords.
            given: the tensors among both.
        """
        return func(*args, **kwargs)


@contextmanager
def double_precision() -> Iterator[None]:
    """Run what is inside in float64: older tensors are widened at first use, new ones made wide."""
    with WideFunctions(), WideOperations():
        yield
