"""How a model will run: its sites, its dimension, the engine and why, the cost of one gradient."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pyroxene._typing import Model
from pyroxene.density.compiled import CompiledDensity
from pyroxene.density.log_density import log_density

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; final. `str` of it is what `explain` prints.

    Attributes:
        sites: for each latent site its shape, and the support that it is mapped to.
        observed: names of the observed sites.
        dim: the length of the unconstrained vector.
        engine: that runs the log density.
        reason: why that one.
        operations: how many of each kind the machine code computes; empty on other engines.
        compile_seconds: what preparing the engine took.
        gradient_seconds: what one value and gradient takes.

    Example:
        >>> found = Explanation({"x": ((3,), "Real()")}, ("y",), 3, "eager", "it was asked for", {}, 0.0, 2e-4)
        >>> print(found)
        site      shape        support
        x         (3,)         Real()
        observed: y
        dimension: 3
        engine: eager (it was asked for)
        prepared in 0.00 s; one value and gradient takes 200 us
    """

    sites: Mapping[str, tuple[tuple[int, ...], str]]
    observed: tuple[str, ...]
    dim: int
    engine: str
    reason: str
    operations: Mapping[str, int]
    compile_seconds: float
    gradient_seconds: float

    def __str__(self) -> str:
        width = max([len(name) for name in self.sites] + [8])
        lines = [f"{'site':<{width}}  shape        support"]
        lines += [f"{name:<{width}}  {shape!s:<12} {support}" for name, (shape, support) in self.sites.items()]
        lines.append(f"observed: {', '.join(self.observed) or 'nothing'}")
        lines.append(f"dimension: {self.dim}")
        lines.append(f"engine: {self.engine} ({self.reason})")
        if self.operations:
            counts = sorted(self.operations.items(), key=lambda item: (-item[1], item[0]))
            lines.append(f"operations: {sum(self.operations.values())}: " + ", ".join(f"{n} {op}" for op, n in counts))
        gradient = _duration(self.gradient_seconds)
        lines.append(f"prepared in {self.compile_seconds:.2f} s; one value and gradient takes {gradient}")
        return "\n".join(lines)


def _duration(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def _gradient_seconds(compiled: CompiledDensity) -> float:
    z = torch.zeros(compiled.dim, dtype=torch.float64)
    native = compiled.native_function()
    if native is not None:
        return native.seconds_per_call(z)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        compiled.value_and_grad(z)
        best = min(best, time.perf_counter() - start)
    return best


def explain(model: Model, *args: Any, engine: str = "auto", **kwargs: Any) -> Explanation:
    """Print, and return, how a model's log density will run.

    Args:
        model: the model, its data observed through `obs` or `condition`.
        args: the model's arguments.
        engine: as `LogDensity.compiled` takes it.
        kwargs: the model's keyword arguments.

    Raises:
        PlateError: a plate subsamples.
        SupportError: a latent site is discrete, or its support has no bijection.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> found = explain(lambda: pyroxene.sample("x", dist.Gamma(2.0, 1.0)), engine="eager")
        site      shape        support
        x         ()           GreaterThanEq(lower_bound=0.0)
        observed: nothing
        dimension: 1
        engine: eager (it was asked for)
        prepared in ... s; one value and gradient takes ...
    """
    density = log_density(model, *args, **kwargs)
    compiled = density.compiled(engine)
    native = compiled.native_function()
    sites = {
        name: (tuple(site["value"].shape), repr(site["fn"].support))
        for name, site in density.structure.latent_sites.items()
    }
    found = Explanation(
        sites,
        tuple(density.structure.observed_sites),
        density.dim,
        compiled.engine,
        compiled.reason,
        {} if native is None else dict(native.operations),
        compiled.seconds,
        _gradient_seconds(compiled),
    )
    print(found)
    return found
