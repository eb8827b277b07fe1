"""The bijection that reaches the l1 ball."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from pyroxene.distributions import constraints, peer_constraints
from pyroxene.distributions.transforms.base import PureTransform

__all__ = ["L1BallTransform"]


class L1BallTransform(PureTransform):
    """Bijection from real vectors to those whose absolute values sum to less than 1, by breaking a stick.

    y_k = tanh(x_k) r_k, with r_k = prod_{j<k} (1 - |tanh x_j|) the length that is left. The log-Jacobian is the sum of
    log(1 - tanh^2 x_k) and log r_k; neither is taken of a difference that would cancel.

    Example:
        >>> L1BallTransform()(torch.tensor([0.5, -1.0, 2.0]))
        tensor([ 0.4621, -0.4096,  0.1236])
    """

    domain = constraints.real_vector
    codomain = peer_constraints.l1_ball
    bijective = True

    def _call(self, x: Tensor) -> Tensor:
        return x.tanh() * _log_left(x).exp()

    def _inverse(self, y: Tensor) -> Tensor:
        size = y.abs()
        # r_{k+1} = 1 - |y_1| - ... - |y_k|; a point on the boundary comes back large, not infinite
        left = (1 - size.cumsum(-1)).clamp(min=torch.finfo(y.dtype).tiny)
        return y.sign() * 0.5 * torch.log1p(2 * size / left)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        size = x.abs()
        log_sech_squared = 2 * (math.log(2) - size - softplus(-2 * size))
        return (log_sech_squared + _log_left(x)).sum(-1)


def _log_left(x: Tensor) -> Tensor:
    """Logs of the lengths left before each break: 1 - |tanh x| = 2 / (1 + exp(2 |x|))."""
    log_kept = math.log(2) - softplus(2 * x.abs())
    return pad(log_kept[..., :-1], (1, 0)).cumsum(-1)
