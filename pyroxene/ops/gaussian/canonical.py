"""Gaussian: the exponential of a quadratic form, of any rank, by its information vector and its precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyroxene.errors import ShapeError, UnsupportedError, UsageError
from pyroxene.ops.gaussian.elimination import block_diagonal_of, cat_last, eliminate, expanded
from pyroxene.ops.tensor_utils import matvecmul

__all__ = ["Gaussian", "batch_index", "gaussian_tensordot"]

LOG_TWO_PI = math.log(2 * math.pi)


def batch_index(index: Any, event_dim: int) -> tuple[Any, ...]:
    """Extend an index of the batch dimensions by whole event dimensions."""
    index = index if isinstance(index, tuple) else (index,)
    if not any(each is Ellipsis for each in index):
        index += (Ellipsis,)
    return index + (slice(None),) * event_dim


class Gaussian:
    """The function exp(log_normalizer + xᵀ info_vec - xᵀ precision x / 2) of real vectors x, in batches.

    It need not be a density: the precision may be singular, as for the likelihood of a few of the variables. Products
    are sums (`+`) in this form, and conditioning is substitution; integrating variables out needs their own part of
    the precision to be positive definite.

    Source: D. Koller and N. Friedman (2009), Probabilistic Graphical Models, section 14.2.1 (canonical forms).

    Args:
        log_normalizer: shape batch_shape.
        info_vec: information vector (precision times mean), shape (*batch_shape, D).
        precision: symmetric, positive semidefinite, shape (*batch_shape, D, D). The three batch shapes broadcast.

    Example:
        >>> g = Gaussian(torch.tensor(0.0), torch.zeros(2), torch.eye(2))
        >>> g.log_density(torch.ones(2)), g.event_logsumexp()
        (tensor(-1.), tensor(1.8379))
    """

    def __init__(self, log_normalizer: Tensor, info_vec: Tensor, precision: Tensor) -> None:
        if info_vec.dim() < 1 or precision.dim() < 2 or precision.shape[-2:] != info_vec.shape[-1:] * 2:
            raise ShapeError(
                "information vector and precision do not fit",
                expected="shapes (..., D) and (..., D, D)",
                got=f"{tuple(info_vec.shape)} and {tuple(precision.shape)}",
            )
        self.log_normalizer = log_normalizer
        self.info_vec = info_vec
        self.precision = precision

    def dim(self) -> int:
        """Return the number of variables D."""
        return self.info_vec.size(-1)

    @property
    def batch_shape(self) -> torch.Size:
        """The shape that the batch shapes of the three tensors broadcast to."""
        return torch.broadcast_shapes(self.log_normalizer.shape, self.info_vec.shape[:-1], self.precision.shape[:-2])

    def expand(self, batch_shape: Sequence[int]) -> Gaussian:
        """Return the function with a larger batch shape, its tensors expanded."""
        shape, size = torch.Size(batch_shape), self.dim()
        return Gaussian(
            expanded(self.log_normalizer, shape),
            expanded(self.info_vec, shape + (size,)),
            expanded(self.precision, shape + (size, size)),
        )

    def reshape(self, batch_shape: Sequence[int]) -> Gaussian:
        """Return the function with its batch dimensions rearranged."""
        whole, shape, size = self.expand(self.batch_shape), tuple(batch_shape), self.dim()
        return Gaussian(
            whole.log_normalizer.reshape(shape),
            whole.info_vec.reshape(shape + (size,)),
            whole.precision.reshape(shape + (size, size)),
        )

    def __getitem__(self, index: Any) -> Gaussian:
        """Index the batch dimensions."""
        whole = self.expand(self.batch_shape)
        return Gaussian(
            whole.log_normalizer[batch_index(index, 0)],
            whole.info_vec[batch_index(index, 1)],
            whole.precision[batch_index(index, 2)],
        )

    @staticmethod
    def cat(parts: Sequence[Gaussian], dim: int = 0) -> Gaussian:
        """Concatenate along a batch dimension.

        Args:
            parts: functions of the same number of variables, their batch shapes equal but for `dim`.
            dim: a batch dimension; negative to count from the right.
        """
        wholes = [part.expand(part.batch_shape) for part in parts]
        left = dim if dim >= 0 else dim + len(wholes[0].batch_shape)
        return Gaussian(
            torch.cat([whole.log_normalizer for whole in wholes], left),
            torch.cat([whole.info_vec for whole in wholes], left),
            torch.cat([whole.precision for whole in wholes], left),
        )

    def event_pad(self, left: int = 0, right: int = 0) -> Gaussian:
        """Add variables that the function does not depend on.

        Args:
            left: how many before the present ones.
            right: how many after them.
        """
        pad = torch.nn.functional.pad
        return Gaussian(
            self.log_normalizer,
            pad(self.info_vec, (left, right)),
            pad(self.precision, (left, right, left, right)),
        )

    def event_permute(self, perm: Tensor) -> Gaussian:
        """Return the function of variables in another order: variable i is the present perm[i].

        Args:
            perm: a permutation of 0, ..., D - 1, shape (D,).
        """
        return Gaussian(self.log_normalizer, self.info_vec[..., perm], self.precision[..., perm, :][..., perm])

    def __add__(self, other: Any) -> Gaussian:
        """Multiply by another Gaussian function, or by the exponential of a number or a tensor of batch shape."""
        if hasattr(other, "to_gaussian"):
            other = other.to_gaussian()
        if isinstance(other, Gaussian):
            return Gaussian(
                self.log_normalizer + other.log_normalizer,
                self.info_vec + other.info_vec,
                self.precision + other.precision,
            )
        if isinstance(other, (int, float, Tensor)):
            return Gaussian(self.log_normalizer + other, self.info_vec, self.precision)
        raise UsageError("Unsupported type", expected="a Gaussian, a number or a tensor", got=type(other).__name__)

    def __sub__(self, other: float | Tensor) -> Gaussian:
        """Divide by the exponential of a number or a tensor of batch shape."""
        if isinstance(other, (int, float, Tensor)):
            return Gaussian(self.log_normalizer - other, self.info_vec, self.precision)
        raise UsageError("Unsupported type", expected="a number or a tensor", got=type(other).__name__)

    def log_density(self, value: Tensor) -> Tensor:
        """Return the log of the function.

        Args:
            value: shape (*batch_shape, D), or broadcasting with it.
        """
        half = self.info_vec - 0.5 * matvecmul(self.precision, value)
        return self.log_normalizer + (value * half).sum(-1)

    def rsample(self, sample_shape: Sequence[int] = (), noise: Tensor | None = None) -> Tensor:
        """Draw from the normal distribution that the function is proportional to.

        Args:
            sample_shape: how many independent draws.
            noise: standard normal numbers to use, shape (*sample_shape, *batch_shape, D); drawn by default.

        Returns:
            Shape (*sample_shape, *batch_shape, D); differentiable.
        """
        shape = torch.Size(sample_shape) + self.batch_shape + (self.dim(),)
        if noise is None:
            noise = torch.randn(shape, dtype=self.info_vec.dtype, device=self.info_vec.device)
        elif noise.shape != shape:
            raise ShapeError("noise does not fit", expected=tuple(shape), got=tuple(noise.shape))
        nothing = self.info_vec.new_zeros(())
        return eliminate(self.precision, self.precision[..., :0], self.info_vec).restore(
            nothing.expand(noise.shape[:-1] + (0,)), noise
        )

    def condition(self, value: Tensor) -> Gaussian:
        """Substitute values for the last variables.

        Args:
            value: shape (*batch_shape, K) for the last K variables.

        Returns:
            A function of the first D - K variables.
        """
        return self._substitute(value, slice(self.dim() - value.size(-1), None), slice(self.dim() - value.size(-1)))

    def left_condition(self, value: Tensor) -> Gaussian:
        """Substitute values for the first variables; as `condition`."""
        return self._substitute(value, slice(value.size(-1)), slice(value.size(-1), None))

    def _substitute(self, value: Tensor, known: slice, rest: slice) -> Gaussian:
        if value.size(-1) > self.dim():
            raise ShapeError("more values than variables", expected=f"at most {self.dim()}", got=value.size(-1))
        half = self.info_vec[..., known] - 0.5 * matvecmul(self.precision[..., known, known], value)
        return Gaussian(
            self.log_normalizer + (value * half).sum(-1),
            self.info_vec[..., rest] - matvecmul(self.precision[..., rest, known], value),
            self.precision[..., rest, rest],
        )

    def marginalize(self, left: int = 0, right: int = 0) -> Gaussian:
        """Integrate out variables at one side.

        Args:
            left: how many of the first variables; or
            right: how many of the last.

        Returns:
            A function of the other variables.

        Raises:
            UnsupportedError: both sides are asked for.
        """
        if not (left or right):
            return self
        if left and right:
            raise UnsupportedError("marginalize takes one side at a time", hint="call it twice")
        size = self.dim()
        out = slice(left) if left else slice(size - right, None)
        rest = slice(left, None) if left else slice(size - right)
        gone = eliminate(self.precision[..., out, out], self.precision[..., out, rest], self.info_vec[..., out])
        return Gaussian(
            self.log_normalizer + 0.5 * ((left + right) * LOG_TWO_PI + gone.squared) - gone.log_det,
            self.info_vec[..., rest] - gone.info_vec,
            self.precision[..., rest, rest] - gone.precision,
        )

    def event_logsumexp(self) -> Tensor:
        """Return the log of the integral over all variables, shape batch_shape."""
        if not self.dim():
            return self.log_normalizer.expand(self.batch_shape)
        gone = eliminate(self.precision, self.precision[..., :0], self.info_vec)
        return self.log_normalizer + 0.5 * (self.dim() * LOG_TWO_PI + gone.squared) - gone.log_det


def gaussian_tensordot(x: Gaussian, y: Gaussian, dims: int = 0) -> Gaussian:
    """Multiply functions that share variables, and integrate these out.

    Args:
        x: a function of (a, b).
        y: a function of (b, c).
        dims: the number of variables in b.

    Returns:
        A function of (a, c).

    Example:
        >>> g = Gaussian(torch.tensor(0.0), torch.zeros(2), torch.eye(2))
        >>> gaussian_tensordot(g, g, 1).precision
        tensor([[1., 0.],
                [0., 1.]])
    """
    return product_without(x, y, dims)[0]


def product_without(x: Gaussian, y: Gaussian, dims: int) -> tuple[Gaussian, Any]:
    """Return what `gaussian_tensordot` returns, and the elimination of b, by which it can be sampled given (a, c)."""
    cut = x.dim() - dims
    if dims < 0 or cut < 0 or dims > y.dim():
        raise ShapeError("too few variables to share", expected=f"dims in 0..{min(x.dim(), y.dim())}", got=dims)
    log_normalizer = x.log_normalizer + y.log_normalizer
    info_vec = cat_last(x.info_vec[..., :cut], y.info_vec[..., dims:])
    precision = block_diagonal_of(x.precision[..., :cut, :cut], y.precision[..., dims:, dims:])
    if not dims:
        return Gaussian(log_normalizer, info_vec, precision), None
    gone = eliminate(
        x.precision[..., cut:, cut:] + y.precision[..., :dims, :dims],
        cat_last(x.precision[..., cut:, :cut], y.precision[..., :dims, dims:], 2),
        x.info_vec[..., cut:] + y.info_vec[..., :dims],
    )
    log_normalizer = log_normalizer + 0.5 * (dims * LOG_TWO_PI + gone.squared) - gone.log_det
    return Gaussian(log_normalizer, info_vec - gone.info_vec, precision - gone.precision), gone
