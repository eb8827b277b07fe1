"""A log density on an engine: eager PyTorch, machine code, or torch.compile; same contract, float64 inside."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from pyroxene._typing import TensorDict
from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.inductor import InductorFunction
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.scan import SHORT, shortened_loops
from pyroxene.density.eager import (
    CHECK_TOLERANCE,
    EagerFunction,
    check_points,
    relative_difference,
)
from pyroxene.density.initialization import init_to_uniform
from pyroxene.density.layout import Layout
from pyroxene.density.stored import without_model
from pyroxene.errors import CaptureError, CompilerError, UsageError
from pyroxene.logger import log

__all__ = ["ENGINES", "CompiledDensity", "EagerDensity", "compile_density"]

ENGINES = ("auto", "native", "inductor", "eager")


class EagerDensity(Protocol):
    """What is needed of a log density to put it on an engine; `LogDensity` is one."""

    @property
    def layout(self) -> Layout:
        """Where each latent site lives in z."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The model's arguments by name."""

    @property
    def dim(self) -> int:
        """The length of z."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the log density at z."""

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log density and its gradient."""

    def initial_point(self, strategy: Callable[[Any], Any] = ..., rng: int | None = None) -> torch.Tensor:
        """Return a starting point."""

    def with_data(self, **new: Any) -> EagerDensity:
        """Return the same density for other data."""


@dataclass(frozen=True)
class CompiledDensity:
    """A log density with the engine that runs it; final. Answers what `LogDensity` answers, in float64.

    Attributes:
        density: the log density as PyTorch.
        engine: "eager", "native" or "inductor".
        reason: why that one, in a line.
        seconds: what preparing it took.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.density import log_density
        >>> def model():
        ...     pyroxene.sample("scale", dist.HalfNormal(2.0))
        >>> density = log_density(model).compiled(engine="eager")
        >>> value, gradient = density.value_and_grad(torch.zeros(1))
        >>> density.engine, gradient  # 1 - 1 / 4
        ('eager', tensor([0.7500], dtype=torch.float64))
    """

    density: EagerDensity
    engine: str
    reason: str
    seconds: float
    function: Any = field(repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the captured graph and its data, and as the model only where that pickles."""
        density = without_model(self.density)
        if self.native_function() is None:  # a Python function goes as it is, or says that it cannot
            density = self.density
        return CompiledDensity, (density, self.engine, self.reason, self.seconds, self.function)

    @property
    def dim(self) -> int:
        """The length of z."""
        return self.density.dim

    @property
    def device(self) -> torch.device:
        """Where the model computes; points, values and gradients are the processor's on every engine."""
        return self.density.device

    @property
    def layout(self) -> Layout:
        """Where each latent site lives in z."""
        return self.density.layout

    @property
    def data(self) -> Mapping[str, Any]:
        """The model's arguments by name."""
        return self.density.data

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the log density at z, shape (dim,)."""
        return self.value_and_grad(z)[0]

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log density, a float64 scalar, and its gradient, float64 of shape (dim,)."""
        value, gradient = self.function.value_and_grad(z)
        return value, gradient

    def batched_value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log densities and gradients at several points.

        Args:
            z: shape (num_chains, dim).

        Returns:
            shapes (num_chains,) and (num_chains, dim), float64.
        """
        if not isinstance(self.function, NativeFunction):
            values, gradients = self.function.batched_value_and_grad(z)
            return values, gradients
        pairs = [self.function.value_and_grad(point) for point in z]
        return torch.stack([value for value, _ in pairs]), torch.stack([gradient for _, gradient in pairs])

    def native_function(self) -> NativeFunction | None:
        """Return the machine code, with its address and contexts; None on other engines."""
        return self.function if isinstance(self.function, NativeFunction) else None

    def constrain(self, z: torch.Tensor) -> TensorDict:
        """Return the sites' values on their supports, shape sample_shape + the site's shape."""
        return self.layout.constrain(z)

    def unconstrain(self, values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return z of values on their supports."""
        return self.layout.unconstrain(values)

    def initial_point(self, strategy: Callable[[Any], Any] = init_to_uniform, rng: int | None = None) -> torch.Tensor:
        """Return a starting point, shape (dim,)."""
        return self.density.initial_point(strategy, rng)

    def with_data(self, **new: Any) -> CompiledDensity:
        """Return the same density for other data; with the same shapes nothing is built anew."""
        return compile_density(self.density.with_data(**new), self.engine)


def _difference(eager: EagerFunction, function: Any) -> float:
    """Return the largest relative difference from eager over some random points where eager is finite."""
    return max(
        (relative_difference(expected, function.value_and_grad(z)) for z, expected in eager.references()), default=0.0
    )


_trusted: set[bytes] = set()
"""Programs that were found equal to eager in this process; the same program on other data is not checked again."""


def _program(function: Any) -> bytes | None:
    if not isinstance(function, NativeFunction):
        return None
    return hashlib.blake2b(function.program.source.encode(), digest_size=16).digest()


def _gap(eager: EagerFunction, density: EagerDensity, function: Any) -> float:
    """Return how far a compiled density is from eager; long loops are compared by their first steps, built anew."""
    if getattr(function, "longest_loop", 0) <= SHORT:
        return _difference(eager, function)
    with shortened_loops():
        return _difference(eager, _build(density, "native"))


def _recorded(record: Callable[[torch.Tensor], Any], dim: int) -> Any:
    """Record at the first random point where the model runs: a matrix may have a factor at one and none at another."""
    last: Exception | None = None
    for z in check_points(dim):
        try:
            return record(z)
        except CaptureError:
            raise
        except (RuntimeError, ValueError) as error:
            last = error
    assert last is not None, "there is more than one point"
    raise last


def _build(density: EagerDensity, engine: str) -> Any:
    if engine == "native":
        return NativeFunction(_recorded(lambda z: gradient_graph(density, z), density.dim))
    return _recorded(lambda z: InductorFunction(density, z.to(density.device)), density.dim)


def compile_density(density: EagerDensity, engine: str = "auto") -> CompiledDensity:
    """Return a log density on an engine, checked against eager at random points.

    Args:
        density: the log density.
        engine: "native" for machine code, "inductor" for torch.compile, "eager"; "auto" takes native where it can, else
            eager, and the result says why.

    Raises:
        UsageError: no such engine.
        CaptureError: the engine was named, and the model cannot be recorded.
        CompilerError: the engine was named, and there is no compiler, or its result differs from eager.
    """
    if engine not in ENGINES:
        raise UsageError("no such engine", expected=f"one of {', '.join(ENGINES)}", got=engine)
    start = time.perf_counter()
    eager = EagerFunction(density, density.dim, density.device)
    if engine == "eager":
        return CompiledDensity(density, "eager", "it was asked for", 0.0, eager)
    if density.dim == 0:
        return CompiledDensity(density, "eager", "the model has no latent values", 0.0, eager)
    chosen = "native" if engine == "auto" else engine
    try:
        function = _build(density, chosen)
        gap = 0.0 if _program(function) in _trusted else _gap(eager, density, function)
        if gap > CHECK_TOLERANCE:
            raise CompilerError(
                f"the {chosen} density differs from eager PyTorch by {gap:.1e} of its size",
                expected=f"at most {CHECK_TOLERANCE:.0e}",
                got=f"{gap:.1e}",
                hint="engine='eager'; and report the model, it is a fault of pyroxene",
            )
    except (RuntimeError, ValueError) as error:  # errors of the model too: where chains begin they name the site
        if engine != "auto":
            raise
        reason = str(error).replace("\n  ", "; ")
        log.info("the model runs on eager PyTorch: %s", reason)
        return CompiledDensity(density, "eager", reason, time.perf_counter() - start, eager)
    except Exception as error:  # the model's own, which eager will raise again, or a fault of ours
        if engine != "auto":
            raise
        reason = f"the {chosen} engine failed: {type(error).__name__}: {error}"
        warnings.warn(f"the model runs on eager PyTorch, which is slower: {reason}; please report it", stacklevel=2)
        return CompiledDensity(density, "eager", reason, time.perf_counter() - start, eager)
    program = _program(function)
    if program is not None:
        _trusted.add(program)
    reason = "it was asked for" if engine != "auto" else "every operation of the model has a native form"
    return CompiledDensity(density, chosen, reason, time.perf_counter() - start, function)
