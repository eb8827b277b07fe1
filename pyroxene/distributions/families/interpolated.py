"""Interpolated: a density drawn through given points by straight lines, as for a posterior that becomes a prior."""

from __future__ import annotations

import math
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.families.univariate import Univariate
from pyroxene.distributions.torch_distribution import Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape, gather
from pyroxene.errors import ShapeError

__all__ = ["Interpolated"]


class Interpolated(Univariate):
    r"""Distribution whose density is piecewise linear between given points.

    Between x_k and x_{k+1} the density is (h_k (x_{k+1} - x) + h_{k+1} (x - x_k)) / (x_{k+1} - x_k) / Z, with
    Z the sum over k of (x_{k+1} - x_k) (h_k + h_{k+1}) / 2.

    Args:
        x_points: the points x, rising, shape (*batch_shape, num_points), at least two.
        pdf_points: the heights h of the density there, not negative, shape (*batch_shape, num_points); they need not be
            normalised.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ShapeError: the two have different numbers of points, or fewer than two.

    Support: the interval from the first point to the last. The mean is the sum over pieces of
    (x_{k+1} - x_k) (h_k (2 x_k + x_{k+1}) + h_{k+1} (x_k + 2 x_{k+1})) / (6 Z); the variance is
    likewise the sum of the pieces' second moments about it.

    Source: Johnson, Kotz and Balakrishnan (1995), Continuous Univariate Distributions 2, section 26.9, piece by piece.

    Example:
        >>> d = Interpolated(torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 2.0, 0.0]))
        >>> d.cdf(torch.tensor(1.0)), d.mean
        (tensor(0.3333), tensor(1.3333))
    """

    arg_constraints = {
        "x_points": constraints.independent(constraints.real, 1),
        "pdf_points": constraints.independent(constraints.nonnegative, 1),
    }

    def __init__(self, x_points: torch.Tensor, pdf_points: torch.Tensor, validate_args: bool | None = None) -> None:
        x_points, pdf_points = torch.as_tensor(x_points), torch.as_tensor(pdf_points)
        if x_points.dim() == 0 or pdf_points.shape[-1:] != x_points.shape[-1:] or x_points.shape[-1] < 2:
            raise ShapeError(
                "Interpolated takes the same number of points and heights, at least two",
                expected="shapes that end in the same number",
                got=f"x_points of shape {tuple(x_points.shape)}, pdf_points of shape {tuple(pdf_points.shape)}",
                hint="evaluate the density at each point",
            )
        shape = broadcast_shape(x_points.shape, pdf_points.shape)
        self.x_points, self.pdf_points = x_points.expand(shape), pdf_points.expand(shape)
        TorchDistribution.__init__(self, torch.Size(shape[:-1]), validate_args=validate_args)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Interpolated:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        shape = torch.Size(batch_shape)
        new.x_points = self.x_points.expand(shape + self.x_points.shape[-1:])
        new.pdf_points = self.pdf_points.expand(shape + self.pdf_points.shape[-1:])
        TorchDistribution.__init__(new, shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        """The interval from the first to the last point."""
        return constraints.interval(self.x_points[..., 0], self.x_points[..., -1])

    @property
    def _widths(self) -> torch.Tensor:
        return self.x_points.diff(dim=-1)

    @property
    def _masses(self) -> torch.Tensor:
        """Probability of each piece times the normaliser, (*batch_shape, num_points - 1)."""
        return 0.5 * self._widths * (self.pdf_points[..., 1:] + self.pdf_points[..., :-1])

    def _piece(self, value: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        """How many of the inner ends a value has passed, with a last dimension of size 1."""
        return (value.unsqueeze(-1) >= ends).sum(-1, keepdim=True)

    def _at(self, values: torch.Tensor, piece: torch.Tensor) -> torch.Tensor:
        """Take each piece's value, (..., num_pieces) by (..., 1)."""
        return gather(values, piece, -1).squeeze(-1)

    def _share(self, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The piece that a value lies in, how far it is along, and whether it lies in any."""
        inside = (value >= self.x_points[..., 0]) & (value <= self.x_points[..., -1])
        safe = torch.where(inside, value, self.x_points[..., 0])
        piece = self._piece(safe, self.x_points[..., 1:-1])
        return piece, (safe - self._at(self.x_points[..., :-1], piece)) / self._at(self._widths, piece), inside

    def _heights(self, piece: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self._at(self.pdf_points[..., :-1], piece), self._at(self.pdf_points[..., 1:], piece)

    def _log_density(self, value: torch.Tensor) -> torch.Tensor:
        piece, share, inside = self._share(value)
        left, right = self._heights(piece)
        height = left * (1 - share) + right * share
        positive = inside & (height > 0)
        return torch.where(positive, torch.where(positive, height, 1.0).log() - self._masses.sum(-1).log(), -math.inf)

    def _area(self, value: torch.Tensor, from_left: bool) -> torch.Tensor:
        """Log of the probability on one side of a value in the support."""
        piece, share, _ = self._share(value)
        left, right = self._heights(piece)
        width, masses = self._at(self._widths, piece), self._masses
        if from_left:
            own = width * share * (left + 0.5 * share * (right - left))
            others = masses.cumsum(-1) - masses
        else:
            rest = 1 - share
            own = width * rest * (right + 0.5 * rest * (left - right))
            others = masses.flip(-1).cumsum(-1).flip(-1) - masses
        area = self._at(others, piece).clamp(min=0) + own
        positive = area > 0
        return torch.where(positive, torch.where(positive, area, 1.0).log() - masses.sum(-1).log(), -math.inf)

    def log_cdf(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of no greater value."""
        inside = self._area(value, from_left=True).clamp(max=0)
        outside = torch.where(value < self.x_points[..., 0], -math.inf, 0.0)
        return torch.where(self._share(value)[2], inside, outside)

    def log_survival(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the probability of a greater value."""
        inside = self._area(value, from_left=False).clamp(max=0)
        outside = torch.where(value < self.x_points[..., 0], 0.0, -math.inf)
        return torch.where(self._share(value)[2], inside, outside)

    def _inverse_cdf(self, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
        masses = self._masses
        before = masses.cumsum(-1) - masses
        area = torch.exp(log_cdf) * masses.sum(-1)
        piece = self._piece(area, before[..., 1:])
        left, right = self._heights(piece)
        width = self._at(self._widths, piece)
        # The area along the piece is width (left s + (right - left) s^2 / 2); its root without cancellation.
        need = ((area - self._at(before, piece)) / width).clamp(min=0)
        square = left.square() + 2 * need * (right - left)
        root = torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)
        denominator = left + root
        positive = denominator > 0
        share = torch.where(positive, 2 * need / torch.where(positive, denominator, 1.0), 0.0).clamp(max=1)
        return self._at(self.x_points[..., :-1], piece) + width * share

    @property
    def mean(self) -> torch.Tensor:
        """The mean, shape batch_shape."""
        x, h = self.x_points, self.pdf_points
        left = h[..., :-1] * (2 * x[..., :-1] + x[..., 1:])
        right = h[..., 1:] * (x[..., :-1] + 2 * x[..., 1:])
        return (self._widths * (left + right)).sum(-1) / (6 * self._masses.sum(-1))

    @property
    def variance(self) -> torch.Tensor:
        """The variance, shape batch_shape."""
        x, h = self.x_points - self.mean.unsqueeze(-1), self.pdf_points
        a, b = x[..., :-1], x[..., 1:]
        left = h[..., :-1] * (3 * a.square() + 2 * a * b + b.square())
        right = h[..., 1:] * (a.square() + 2 * a * b + 3 * b.square())
        return (self._widths * (left + right)).sum(-1) / (12 * self._masses.sum(-1))

    @property
    def mode(self) -> torch.Tensor:
        """The highest point, the first of several, shape batch_shape."""
        return self.x_points.gather(-1, self.pdf_points.argmax(-1, keepdim=True)).squeeze(-1)
