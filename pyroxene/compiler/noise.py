"""Random operations as pure functions of noise: each is made of standard normals or uniforms that come from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.gamma import gamma_sample, gamma_slope
from pyroxene.compiler.graph import Graph, Node
from pyroxene.compiler.precision import WideFunctions, WideOperations
from pyroxene.compiler.strides import broadcast, contiguous
from pyroxene.errors import CaptureError, user_source

__all__ = ["Draw", "GivenNoise", "NoisyGraph", "RandomCall", "gather_noise", "is_random", "random_call"]

_aten = torch.ops.aten


@dataclass(frozen=True)
class Draw:
    """Independent standard numbers that one random operation takes; final.

    Attributes:
        kind: "normal", of mean 0 and standard deviation 1; "uniform", on [0, 1); "wide", a uniform in steps of 2^-53
            whatever the program's precision; or "key", the same, from which an operation makes what it needs.
        shape: how many.
        start: where they begin in the flat vector of all noise.
    """

    kind: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """How many numbers."""
        return torch.Size(self.shape).numel()


@dataclass(frozen=True)
class NoisyGraph:
    """A graph whose last input is a flat vector of noise; final.

    Attributes:
        graph: its inputs are the function's arguments, then the noise.
        draws: what the noise holds, in the order in which the function drew it.
    """

    graph: Graph
    draws: tuple[Draw, ...]

    @property
    def noise_size(self) -> int:
        """The length of the noise."""
        return sum(draw.size for draw in self.draws)


@dataclass(frozen=True)
class RandomCall:
    """A random operation as a function of standard numbers; final.

    Attributes:
        kind: of the numbers, as in `Draw`.
        shape: of the numbers and of the result.
        transform: from the numbers to the result.
        target: the tensor that is filled in place, if any.
        alpha: shapes of gamma variates, of which the numbers are the keys; they have no transform in PyTorch's terms.
    """

    kind: str
    shape: tuple[int, ...]
    transform: Callable[[torch.Tensor], torch.Tensor]
    target: torch.Tensor | None = None
    alpha: torch.Tensor | None = None


def is_random(func: Any) -> bool:
    """Say whether an operation draws random numbers."""
    return torch.Tag.nondeterministic_seeded in func.tags


def _as_it_is(u: torch.Tensor) -> torch.Tensor:
    return u


def _normal(mean: Any = 0.0, std: Any = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    if isinstance(mean, float) and isinstance(std, float) and (mean, std) == (0.0, 1.0):
        return _as_it_is
    return lambda e: mean + std * e


def _uniform(low: float = 0.0, high: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    return _as_it_is if (low, high) == (0.0, 1.0) else lambda u: low + (high - low) * u


def _exponential(rate: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda u: -torch.log1p(-u) / rate


def _cauchy(median: float = 0.0, scale: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda u: median + scale * torch.tan(torch.pi * (u - 0.5))


_IN_PLACE: dict[str, tuple[str, Callable[..., Callable[[torch.Tensor], torch.Tensor]]]] = {
    "normal_": ("normal", _normal),
    "uniform_": ("uniform", _uniform),
    "exponential_": ("wide", _exponential),
    "cauchy_": ("wide", _cauchy),
}
_FACTORIES = {"randn": "normal", "rand": "uniform"}
_LIKE = {"randn_like": "normal", "rand_like": "uniform"}


def random_call(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> RandomCall:
    """Return a random operation as a function of standard numbers.

    Args:
        func: an operation of PyTorch that draws random numbers.
        args: its arguments.
        kwargs: its keywords.

    Raises:
        CaptureError: it is not made of normals or uniforms in a known way.
    """
    name = func._schema.name.rpartition("::")[2]
    if name in _IN_PLACE:
        kind, made = _IN_PLACE[name]
        return RandomCall(kind, tuple(args[0].shape), made(*args[1:]), args[0])
    if name in _FACTORIES:
        return RandomCall(_FACTORIES[name], tuple(args[0]), _as_it_is)
    if name in _LIKE:
        return RandomCall(_LIKE[name], tuple(args[0].shape), _as_it_is)
    if name == "_standard_gamma":
        alpha = args[0]
        return RandomCall("key", tuple(alpha.shape), lambda key: gamma_sample(alpha, key), alpha=alpha)
    if name == "normal":
        mean, std, *size = args
        shapes = [tuple(value.shape) for value in (mean, std) if isinstance(value, torch.Tensor)]
        shape = broadcast(*shapes) if shapes else tuple(size[0])
        return RandomCall("normal", shape, _normal(mean, std))
    raise CaptureError(
        f"torch's {name} draws random numbers that have no native form",
        source=user_source(3),
        expected=f"one of {', '.join(sorted([*_IN_PLACE, *_FACTORIES, *_LIKE, 'normal', '_standard_gamma']))}",
        hint="the program runs on eager PyTorch; where a distribution is free, normals and what they make are native",
    )


def gather_noise(graph: Graph, draws: Sequence[Draw]) -> NoisyGraph:
    """Return a graph with one flat input in the place of one input for each draw, which stand last."""
    count = len(graph.inputs) - len(draws)
    b = Builder(graph.data)
    new: dict[int, Node] = {id(node): b.input(node.shape) for node in graph.inputs[:count]}
    noise = b.input((sum(draw.size for draw in draws),))
    for node, draw in zip(graph.inputs[count:], draws):
        new[id(node)] = b.view(noise, draw.shape, contiguous(draw.shape), draw.start)
    for node in graph.nodes():
        if id(node) in new:
            continue
        if not node.inputs:
            b.remember(node)
            new[id(node)] = node
        else:
            new[id(node)] = b.rebuild(node, tuple(new[id(source)] for source in node.inputs))
    return NoisyGraph(b.graph([new[id(node)] for node in graph.outputs]), tuple(draws))


class _Feeder(WideOperations):
    """Answers random operations from a flat vector, in float64; the derivative of gamma variates is our own, too."""

    def __init__(self, noise: torch.Tensor) -> None:
        super().__init__()
        self.noise = noise
        self.used = 0

    def handle(self, func: Any, args: Any, kwargs: Any, given: list[torch.Tensor]) -> Any:
        if func is _aten._standard_gamma_grad.default:
            return gamma_slope(*args)
        if not is_random(func):
            return func(*args, **kwargs)
        call = random_call(func, args, kwargs)
        size = torch.Size(call.shape).numel()
        value = call.transform(self.noise[self.used : self.used + size].reshape(call.shape))
        self.used += size
        return value.clone() if call.target is None else call.target.copy_(value)


class GivenNoise:
    """Inside this block random operations take their numbers from a vector, and everything is float64; final.

    It is the eager counterpart of a `NoisyGraph`: the same noise gives the same result, differentiable as ever.

    Args:
        noise: standard numbers, float64, in the order in which the operations come.

    Attributes:
        used: how many numbers were taken.

    Example:
        >>> with GivenNoise(torch.tensor([2.0, 3.0], dtype=torch.float64)):
        ...     torch.randn(2)
        tensor([2., 3.], dtype=torch.float64)
    """

    def __init__(self, noise: torch.Tensor) -> None:
        self._feeder = _Feeder(noise)
        self._functions = WideFunctions()

    @property
    def used(self) -> int:
        """How many numbers were taken so far."""
        return self._feeder.used

    def __enter__(self) -> GivenNoise:
        self._functions.__enter__()
        self._feeder.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._feeder.__exit__(*exc)
        self._functions.__exit__(*exc)
