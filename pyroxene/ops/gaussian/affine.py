"""AffineNormal: the conditional density of y = x @ matrix + noise with independent normal noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyroxene.errors import ShapeError, UsageError
from pyroxene.ops.gaussian.canonical import LOG_TWO_PI, Gaussian, batch_index
from pyroxene.ops.tensor_utils import matvecmul

__all__ = ["AffineNormal"]


class AffineNormal:
    """The density of y given x as a function of (x, y), where y is normal with mean x @ matrix + loc.

    It is a `Gaussian` that is cheap to condition: on y as on x, without a matrix of all variables.

    Args:
        matrix: shape (*batch_shape, X, Y).
        loc: shape (*batch_shape, Y).
        scale: standard deviation of each entry of y, positive, shape (*batch_shape, Y).

    Example:
        >>> a = AffineNormal(torch.ones(2, 1), torch.zeros(1), torch.ones(1))
        >>> a.condition(torch.zeros(1)).precision
        tensor([[1., 1.],
                [1., 1.]])
    """

    def __init__(self, matrix: Tensor, loc: Tensor, scale: Tensor) -> None:
        if matrix.dim() < 2 or loc.dim() < 1 or not scale.shape[-1:] == loc.shape[-1:] == matrix.shape[-1:]:
            raise ShapeError(
                "matrix, loc and scale do not fit",
                expected="shapes (..., X, Y), (..., Y) and (..., Y)",
                got=f"{tuple(matrix.shape)}, {tuple(loc.shape)} and {tuple(scale.shape)}",
            )
        self.matrix = matrix
        self.loc = loc
        self.scale = scale

    def dim(self) -> int:
        """Return the number of variables X + Y."""
        return self.matrix.size(-2) + self.matrix.size(-1)

    @property
    def batch_shape(self) -> torch.Size:
        """The shape that the batch shapes of the three tensors broadcast to."""
        return torch.broadcast_shapes(self.matrix.shape[:-2], self.loc.shape[:-1], self.scale.shape[:-1])

    def expand(self, batch_shape: Sequence[int]) -> AffineNormal:
        """Return the function with a larger batch shape, its tensors expanded."""
        shape = torch.Size(batch_shape)
        return AffineNormal(
            self.matrix.expand(shape + self.matrix.shape[-2:]),
            self.loc.expand(shape + self.loc.shape[-1:]),
            self.scale.expand(shape + self.scale.shape[-1:]),
        )

    def reshape(self, batch_shape: Sequence[int]) -> AffineNormal:
        """Return the function with its batch dimensions rearranged."""
        whole, shape = self.expand(self.batch_shape), tuple(batch_shape)
        return AffineNormal(
            whole.matrix.reshape(shape + whole.matrix.shape[-2:]),
            whole.loc.reshape(shape + whole.loc.shape[-1:]),
            whole.scale.reshape(shape + whole.scale.shape[-1:]),
        )

    def __getitem__(self, index: Any) -> AffineNormal:
        """Index the batch dimensions."""
        whole = self.expand(self.batch_shape)
        return AffineNormal(
            whole.matrix[batch_index(index, 2)], whole.loc[batch_index(index, 1)], whole.scale[batch_index(index, 1)]
        )

    def _log_normalizer(self, white: Tensor) -> Tensor:
        """The log density at y = loc + scale * white, where x is zero."""
        return -0.5 * (white.square() + LOG_TWO_PI).sum(-1) - self.scale.log().sum(-1)

    def condition(self, value: Tensor) -> Gaussian:
        """Substitute values for the last variables: all of y as a rule; see `Gaussian.condition`."""
        if value.size(-1) != self.loc.size(-1):
            return self.to_gaussian().condition(value)
        white, slope = (value - self.loc) / self.scale, self.matrix / self.scale.unsqueeze(-2)
        return Gaussian(self._log_normalizer(white), matvecmul(slope, white), slope @ slope.mT)

    def left_condition(self, value: Tensor) -> AffineNormal | Gaussian:
        """Substitute values for the first variables: all of x as a rule; see `Gaussian.left_condition`.

        Returns:
            A density of y alone, with a matrix of no rows.
        """
        if value.size(-1) != self.matrix.size(-2):
            return self.to_gaussian().left_condition(value)
        loc = self.loc + (value.unsqueeze(-2) @ self.matrix).squeeze(-2)
        return AffineNormal(self.matrix[..., :0, :], loc, self.scale)

    def rsample(self, sample_shape: Sequence[int] = (), noise: Tensor | None = None) -> Tensor:
        """Draw y, where no x is left; see `Gaussian.rsample`.

        Raises:
            UsageError: x is not known.
        """
        if self.matrix.size(-2):
            raise UsageError("an affine normal is not a density of x", hint="call left_condition first")
        shape = torch.Size(sample_shape) + self.batch_shape + self.loc.shape[-1:]
        if noise is None:
            noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        elif noise.shape != shape:
            raise ShapeError("noise does not fit", expected=tuple(shape), got=tuple(noise.shape))
        return self.loc + noise * self.scale

    def to_gaussian(self) -> Gaussian:
        """Return the same function as a `Gaussian` of (x, y)."""
        white = -self.loc / self.scale
        rows = self.matrix / self.scale.unsqueeze(-2)  # of x; those of y are -1 / scale on a diagonal
        shape = torch.broadcast_shapes(rows.shape[:-2], white.shape[:-1])
        own = (-1 / self.scale).diag_embed()
        both = torch.cat([each.expand(shape + each.shape[-2:]) for each in (rows, own)], -2)
        return Gaussian(self._log_normalizer(white), matvecmul(both, white), both @ both.mT)

    def event_permute(self, perm: Tensor) -> Gaussian:
        """Return a `Gaussian` of the variables in another order; see `Gaussian.event_permute`."""
        return self.to_gaussian().event_permute(perm)

    def __add__(self, other: Any) -> Gaussian:
        """Multiply by another function, or by the exponential of a number or tensor; see `Gaussian`."""
        return self.to_gaussian() + other

    def marginalize(self, left: int = 0, right: int = 0) -> Any:
        """Integrate out variables at one side; all of y integrates to one. See `Gaussian.marginalize`."""
        if left == 0 and right == self.loc.size(-1):
            shape = self.batch_shape + (self.matrix.size(-2),)
            zero = self.loc.new_zeros(())
            return Gaussian(zero.expand(shape[:-1]), zero.expand(shape), zero.expand(shape + shape[-1:]))
        return self.to_gaussian().marginalize(left, right) if left or right else self
