"""A log density on an engine: eager PyTorch, machine code, or torch.compile; same contract, float64 inside."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from pyroxene._typing import TensorDict
from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.precision import double_precision
from pyroxene.density.initialization import init_to_uniform
from pyroxene.density.layout import Layout
from pyroxene.errors import CaptureError, CompilerError, UsageError
from pyroxene.logger import log

__all__ = ["ENGINES", "CompiledDensity", "EagerDensity", "compile_density"]

ENGINES = ("auto", "native", "inductor", "eager")

CHECK_POINTS = 3
"""At so many random points a compiled density is held against eager before it is trusted."""

CHECK_TOLERANCE = 1e-7
"""Relative to the largest entry; engines differ from eager by about 1e-13, wrong ones by far more."""

ValueAndGrad = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


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

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the log density at z."""

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the log density and its gradient."""

    def initial_point(self, strategy: Callable[[Any], Any] = ..., rng: int | None = None) -> torch.Tensor:
        """Return a starting point."""

    def with_data(self, **new: Any) -> EagerDensity:
        """Return the same density for other data."""


def eager_value_and_grad(density: EagerDensity, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return value and gradient in float64, whatever the types of the data and of new tensors."""
    wide = contextlib.nullcontext() if torch.get_default_dtype() == torch.float64 else double_precision()
    with wide:
        value, gradient = density.value_and_grad(z.to(torch.float64))
    return value.to(torch.float64), gradient.to(torch.float64)


@dataclass(frozen=True)
class CompiledDensity:
    """A log density with the engine that runs it; final. Answers what `LogDensity` answers, in float64.

    Attributes:
        density: the log density as PyTorch.
        engine: "eager", "native" or "inductor".
        reason: why that one, in a line.
        seconds: what preparing it took.
    """

    density: EagerDensity
    engine: str
    reason: str
    seconds: float
    function: Any = field(repr=False, compare=False, default=None)

    @property
    def dim(self) -> int:
        """The length of z."""
        return self.density.dim

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
        if self.function is not None:
            value, gradient = self.function.value_and_grad(z)
            return value, gradient
        return eager_value_and_grad(self.density, z)

    def batched_value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log densities and gradients at several points.

        Args:
            z: shape (num_chains, dim).

        Returns:
            shapes (num_chains,) and (num_chains, dim), float64.
        """
        if self.function is not None:
            pairs = [self.function.value_and_grad(point) for point in z]
            return torch.stack([value for value, _ in pairs]), torch.stack([gradient for _, gradient in pairs])
        wide = contextlib.nullcontext() if torch.get_default_dtype() == torch.float64 else double_precision()
        leaf = z.detach().to(torch.float64).requires_grad_(True)
        with wide, torch.enable_grad():
            values = torch.func.vmap(self.density)(leaf)
            (gradients,) = torch.autograd.grad(values.sum(), leaf)
        return values.detach(), gradients

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


def _points(dim: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(20)
    return [torch.rand(dim, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(CHECK_POINTS)]


def _difference(density: EagerDensity, function: Any) -> float:
    """Return the largest relative difference from eager over some random points where eager is finite."""
    worst = 0.0
    for z in _points(density.dim):
        value, gradient = eager_value_and_grad(density, z)
        if not bool(torch.isfinite(value)) or not bool(torch.isfinite(gradient).all()):
            continue
        other, other_gradient = function.value_and_grad(z)
        scale = max(1.0, abs(value.item()), gradient.abs().max().item())
        gap = max(abs(other.item() - value.item()), (other_gradient - gradient).abs().max().item()) / scale
        worst = max(worst, gap if gap == gap else float("inf"))
    return worst


class _Inductor:
    """value_and_grad through torch.compile."""

    def __init__(self, density: EagerDensity) -> None:
        def both(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with torch.enable_grad():
                value = density(z)
                (gradient,) = torch.autograd.grad(value, z)
            return value.detach(), gradient

        from torch.fx.experimental.proxy_tensor import make_fx

        example = _points(density.dim)[0].requires_grad_(True)
        with double_precision():
            graph = make_fx(both)(example)
        self._compiled = torch.compile(graph)

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self._compiled(z.detach().to(torch.float64).requires_grad_(True))
        return value.detach(), gradient.detach()


def _build(density: EagerDensity, engine: str) -> Any:
    if engine == "native":
        return NativeFunction(gradient_graph(density, _points(density.dim)[0]))
    return _Inductor(density)


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
    if engine == "eager":
        return CompiledDensity(density, "eager", "it was asked for", 0.0)
    if density.dim == 0:
        return CompiledDensity(density, "eager", "the model has no latent values", 0.0)
    chosen = "native" if engine == "auto" else engine
    try:
        function = _build(density, chosen)
        gap = _difference(density, function)
        if gap > CHECK_TOLERANCE:
            raise CompilerError(
                f"the {chosen} density differs from eager PyTorch by {gap:.1e} of its size",
                expected=f"at most {CHECK_TOLERANCE:.0e}",
                got=f"{gap:.1e}",
                hint="engine='eager'; and report the model, it is a fault of pyroxene",
            )
    except (CaptureError, CompilerError) as error:
        if engine != "auto":
            raise
        reason = str(error).replace("\n  ", "; ")
        log.info("the model runs on eager PyTorch: %s", reason)
        return CompiledDensity(density, "eager", reason, time.perf_counter() - start)
    reason = "it was asked for" if engine != "auto" else "every operation of the model has a native form"
    return CompiledDensity(density, chosen, reason, time.perf_counter() - start, function)
