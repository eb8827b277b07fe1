"""The stick-breaking bijection to the simplex."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import transforms as _torch_transforms
from torch.nn.functional import logsigmoid

from pyroxene.distributions.transforms.base import PureTransform

__all__ = ["StickBreakingTransform"]


class StickBreakingTransform(PureTransform, _torch_transforms.StickBreakingTransform):
    """Bijection from vectors of length n - 1 to the simplex of n probabilities, by breaking a stick.

    The map is torch's. torch's inverse takes 1 minus a cumulative sum and its log-Jacobian the log of a probability
    that may have rounded to zero; here both are finite wherever x is. The log-Jacobian is that of all probabilities
    but the last.

    Example:
        >>> StickBreakingTransform()(torch.zeros(2))
        tensor([0.3333, 0.3333, 0.3333])
    """

    def _inverse(self, y: Tensor) -> Tensor:
        above = y.flip(-1).cumsum(-1).flip(-1)[..., 1:]
        tiny = torch.finfo(y.dtype).tiny
        remaining = torch.arange(y.size(-1) - 1, 0, -1, dtype=y.dtype, device=y.device)
        return y[..., :-1].clamp(min=tiny).log() - above.clamp(min=tiny).log() + remaining.log()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        # entry k breaks off sigmoid(z_k) of what is left, and each later entry shrinks by sigmoid(-z_k)
        remaining = torch.arange(x.size(-1), 0, -1, dtype=x.dtype, device=x.device)
        z = x - remaining.log()
        return (logsigmoid(z) + remaining * logsigmoid(-z)).sum(-1)
