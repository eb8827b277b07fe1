"""The arguments of a call: which tensors are among them, and whether another call has the same structure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy
import torch

__all__ = ["Arguments", "Span"]

_PLAIN = (int, float, complex, str, bytes, bool, type(None))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


def _mapped(value: Any, function: Callable[[torch.Tensor], Any]) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if type(value) in (list, tuple):
        return type(value)(_mapped(item, function) for item in value)
    if isinstance(value, tuple):  # a named one
        return type(value)(*(_mapped(item, function) for item in value))
    if type(value) is dict:
        return {key: _mapped(item, function) for key, item in value.items()}
    return value


def _structure(value: Any) -> Any:
    """Return what two values must agree in, beyond the numbers in their tensors, for one program to serve both."""
    if isinstance(value, torch.Tensor):
        return (value.shape, value.dtype, value.requires_grad)
    if type(value) in _PLAIN:
        return (type(value), value)
    if isinstance(value, (list, tuple)):
        return (type(value), *map(_structure, value))
    if isinstance(value, dict):
        return (dict, *((key, _structure(item)) for key, item in value.items()))
    if isinstance(value, numpy.ndarray):
        return object()  # equal to none: who fills an array anew leaves no trace
    return (type(value), id(value))


def _objects(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _objects(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _objects(item)
    elif not isinstance(value, torch.Tensor) and type(value) not in _PLAIN:
        yield value


class Span(NamedTuple):
    """The range of some numbers, and whether all are whole: a sign of which support they are checked against; final."""

    low: float
    high: float
    is_whole: bool

    def holds(self, other: Span) -> bool:
        """Say whether numbers like these have passed checks of support.

        Whole numbers stay in the range: they are counts and classes. Others may pass it where numbers below 0 were
        among these, or above 1, or where they stay above 0.
        """
        if self.is_whole:
            return other.is_whole and self.low <= other.low and other.high <= self.high
        low_enough = self.low <= other.low or 0.0 < other.low or -math.inf < other.low <= 0.0 > self.low
        high_enough = other.high <= self.high or (1.0 < self.high and other.high < math.inf)
        return low_enough and high_enough

    def joined(self, other: Span) -> Span:
        """Return the span of both."""
        return Span(min(self.low, other.low), max(self.high, other.high), self.is_whole and other.is_whole)


class Arguments:
    """The arguments of one call; final.

    Attributes:
        tensors: those among them, in order.
        structure: equal for two calls that one program can serve.

    Args:
        args: by position.
        kwargs: by name.
    """

    __slots__ = ("_args", "_is_flat", "_kwargs", "_versions", "structure", "tensors")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._args = args
        self._kwargs = kwargs
        self.tensors = list(_tensors((args, kwargs)))
        self.structure = _structure((args, kwargs))
        self._versions = [tensor._version for tensor in self.tensors]
        self._is_flat = all(isinstance(value, (torch.Tensor, *_PLAIN)) for value in (*args, *kwargs.values()))

    def are(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Say whether a call's arguments are these very ones, unchanged; without looking into containers."""
        return (
            self._is_flat
            and len(args) == len(self._args)
            and all(mine is theirs for mine, theirs in zip(self._args, args))
            and kwargs.keys() == self._kwargs.keys()
            and all(kwargs[name] is value for name, value in self._kwargs.items())
            and all(tensor._version == version for tensor, version in zip(self.tensors, self._versions))
        )

    def objects(self) -> list[Any]:
        """Return what is neither tensor, number nor string: what two calls share by identity."""
        return list(_objects((self._args, self._kwargs)))

    def changed(self, other: Arguments) -> list[int]:
        """Return which tensors another call of the same structure has other numbers in, or may have."""
        return [
            position
            for position, (mine, others) in enumerate(zip(self.tensors, other.tensors))
            if mine is not others or self._versions[position] != other._versions[position]
        ]

    def span(self, position: int, may_be_whole: bool = True) -> Span | None:
        """Return what one of the tensors holds; None where any value is as good as another.

        Args:
            position: which.
            may_be_whole: whether to look at that; False where it makes no difference.
        """
        tensor = self.tensors[position].detach()
        if tensor.dtype == torch.bool or tensor.numel() == 0:
            return None
        low, high = torch.stack(tensor.aminmax()).tolist()
        whole = may_be_whole and (not tensor.is_floating_point() or bool((tensor == tensor.trunc()).all()))
        return Span(low, high, whole)

    def replaced(self, positions: Sequence[int], new: Sequence[torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments with other tensors at some positions."""
        table = dict(zip(positions, new))
        count = iter(range(len(self.tensors)))

        def choose(tensor: torch.Tensor) -> torch.Tensor:
            return table.get(next(count), tensor)

        args, kwargs = _mapped((self._args, self._kwargs), choose)
        return args, kwargs
