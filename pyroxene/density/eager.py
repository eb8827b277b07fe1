"""The eager engine: a Python function of a flat vector, evaluated with its gradient in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch

from pyroxene.compiler.precision import double_precision

__all__ = ["CHECK_TOLERANCE", "EagerFunction", "LinAlgError", "check_points", "relative_difference"]

CHECK_POINTS, MOST_POINTS = 3, 30
"""At so many random points one way to compute a density is held against another before it is trusted; where the density
is not finite at some, others are tried."""

CHECK_TOLERANCE = 1e-7
"""Relative to the largest entry; engines differ from eager by about 1e-13, wrong ones by far more."""

LinAlgError: type[Exception] = torch.linalg.LinAlgError  # type: ignore[attr-defined]  # torch documents it

Pair = tuple[torch.Tensor, torch.Tensor]


def check_points(dim: int) -> Iterator[torch.Tensor]:
    """Yield random points between -1 and 1, each of shape (dim,), float64, always the same."""
    generator = torch.Generator().manual_seed(20)
    for _ in range(MOST_POINTS):
        yield torch.rand(dim, generator=generator, dtype=torch.float64) * 2 - 1


def relative_difference(reference: Pair, other: Pair) -> float:
    """Return the largest difference of two values and gradients, relative to the reference's largest entry.

    Args:
        reference: value () and gradient (dim,), finite.
        other: the same; where it is not finite the difference is infinite.
    """
    expected, found = (torch.cat([value.reshape(1), gradient]) for value, gradient in (reference, other))
    gap = ((found - expected).abs().max() / expected.abs().max().clamp(min=1.0)).item()
    return gap if gap == gap else float("inf")


class EagerFunction:
    """A log density as Python computes it: value and gradient, in float64 whatever the default precision; final.

    Everything inside is widened, by modes that see every operation and cost more than a small model. They are left out
    where they make no difference: where at the check's points the function of a double vector has the same value and
    gradient without them, to the tolerance that engines are trusted by. What remains is the rounding of constants such
    as log(2 pi) to float32: on eight schools 2e-8 of the value, and a gradient takes 0.6 ms in the place of 1.7.

    A factorisation that fails is a point of no density.

    Args:
        function: from a tensor (dim,) to a scalar log density, differentiable.
        dim: the length of the vector.
        device: where the function computes; vectors come from the processor, and values and gradients go back there.
    """

    def __init__(
        self, function: Callable[[torch.Tensor], torch.Tensor], dim: int, device: torch.device | None = None
    ) -> None:
        self.function = function
        self.dim = dim
        self.device = device or torch.device("cpu")
        self._is_plain: bool | None = None
        self._in_batches = True

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """Return the log density at z, shape (dim,), differentiable."""
        return self.function(z)

    def value_and_grad(self, z: torch.Tensor) -> Pair:
        """Return log density () and gradient (dim,), float64; nan and zeros where a factorisation fails.

        Args:
            z: shape (dim,), float64.
        """
        return self._evaluate(z, self._modes())

    def references(self) -> Iterator[tuple[torch.Tensor, Pair]]:
        """Yield a few random points with what `value_and_grad` gives there, finite, everything widened.

        A point where the function raises a numerical error is passed over: a parameter out of its range, a matrix
        without a factor. What is wrong with a model itself shows again where chains begin, with the site's name.
        """
        found = 0
        for z in check_points(self.dim):
            try:
                value, gradient = self._evaluate(z, double_precision)
            except (RuntimeError, ValueError):
                continue
            if bool(torch.isfinite(value)) and bool(torch.isfinite(gradient).all()):
                found += 1
                yield z, (value, gradient)
            if found == CHECK_POINTS:
                return

    def batched_value_and_grad(self, z: torch.Tensor) -> Pair:
        """Return log densities (chains,) and gradients (chains, dim) of positions (chains, dim)."""
        if self._in_batches:
            try:
                with self._modes()():
                    gradients, values = torch.func.vmap(torch.func.grad_and_value(self.function))(
                        z.to(self.device, torch.float64)
                    )
                return values.to("cpu", torch.float64), gradients.to("cpu", torch.float64)
            except (RuntimeError, ValueError):  # the function branches on values, or one row's factorisation fails
                self._in_batches = False
        pairs = [self.value_and_grad(row) for row in z]
        return torch.stack([value for value, _ in pairs]), torch.stack([gradient for _, gradient in pairs])

    def _modes(self) -> Callable[[], contextlib.AbstractContextManager[None]]:
        if self._is_plain is None:
            self._is_plain = torch.get_default_dtype() == torch.float64 or self._agrees_without_modes()
        return contextlib.nullcontext if self._is_plain else double_precision

    def _agrees_without_modes(self) -> bool:
        compared = False
        for z, wide in self.references():
            try:
                plain = self._evaluate(z, contextlib.nullcontext)
            except RuntimeError:  # as of a matrix product with data of another precision
                return False
            if relative_difference(wide, plain) > CHECK_TOLERANCE:
                return False
            compared = True
        return compared

    def _evaluate(self, z: torch.Tensor, modes: Callable[[], contextlib.AbstractContextManager[None]]) -> Pair:
        leaf = z.detach().to(self.device, torch.float64).requires_grad_(True)
        gradient = None
        try:
            with torch.enable_grad(), modes():  # backward too: autograd, above the modes, keeps narrow tensors
                value = self.function(leaf)
                if value.requires_grad:
                    (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
        except LinAlgError:
            return z.new_full((), torch.nan, dtype=torch.float64), torch.zeros_like(z, dtype=torch.float64)
        if gradient is None:  # a constant, as of a flat prior without data
            gradient = torch.zeros_like(leaf)
        return value.detach().to("cpu", torch.float64), gradient.to("cpu", torch.float64)
