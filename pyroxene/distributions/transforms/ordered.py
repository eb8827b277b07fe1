"""Transforms that reach vectors whose entries increase."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from pyroxene.distributions import constraints
from pyroxene.distributions.transforms.base import PureTransform

__all__ = ["OrderedTransform", "SimplexToOrderedTransform"]


class OrderedTransform(PureTransform):
    """Bijection from real vectors to increasing ones: the first entry stays, the exponentials of the others are steps.

    Example:
        >>> OrderedTransform()(torch.zeros(3))
        tensor([0., 1., 2.])
    """

    domain = constraints.real_vector
    codomain = constraints.ordered_vector
    bijective = True
    sign = +1

    def _call(self, x: Tensor) -> Tensor:
        return torch.cat([x[..., :1], x[..., 1:].exp()], -1).cumsum(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return torch.cat([y[..., :1], y.diff(dim=-1).log()], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x[..., 1:].sum(-1)


class SimplexToOrderedTransform(PureTransform):
    """Bijection from category probabilities to the cutpoints of an ordered logistic variable.

    Cutpoint k is the logit of the sum of the first k probabilities, plus the anchor. The log-Jacobian is that of the
    cutpoints with respect to all probabilities but the last.

    Source: Betancourt, Ordinal regression, 2019, section 2.2.

    Args:
        anchor_point: location of the logistic variable, a number or a tensor of batch shape; 0 by default.

    Example:
        >>> SimplexToOrderedTransform()(torch.tensor([0.2, 0.3, 0.5]))
        tensor([-1.3863,  0.0000])
    """

    domain = constraints.simplex
    codomain = constraints.ordered_vector
    bijective = True

    def __init__(self, anchor_point: Tensor | float | None = None) -> None:
        super().__init__()
        self.anchor_point = 0.0 if anchor_point is None else anchor_point

    def _key(self) -> tuple[Any, ...]:
        return (self.anchor_point,)

    def _anchor(self) -> Any:
        anchor = self.anchor_point
        return anchor.unsqueeze(-1) if isinstance(anchor, Tensor) else anchor

    def _call(self, x: Tensor) -> Tensor:
        below = x.cumsum(-1)[..., :-1]
        above = x.flip(-1).cumsum(-1).flip(-1)[..., 1:]  # 1 - below would lose small tails to rounding
        return below.log() - above.log() + self._anchor()

    def _inverse(self, y: Tensor) -> Tensor:
        z = y - self._anchor()
        low, high = z[..., :-1], z[..., 1:]
        # sigmoid(high) - sigmoid(low), without cancellation
        middle = high.sigmoid() * (-low).sigmoid() * -(low - high).expm1()
        return torch.cat([z[..., :1].sigmoid(), middle, (-z[..., -1:]).sigmoid()], -1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        z = y - self._anchor()
        return -(logsigmoid(z) + logsigmoid(-z)).sum(-1)

    def forward_shape(self, shape: torch.Size) -> torch.Size:
        batch = torch.broadcast_shapes(shape[:-1], getattr(self.anchor_point, "shape", ()))
        return batch + (shape[-1] - 1,)

    def inverse_shape(self, shape: torch.Size) -> torch.Size:
        batch = torch.broadcast_shapes(shape[:-1], getattr(self.anchor_point, "shape", ()))
        return batch + (shape[-1] + 1,)
