"""Batch normalisation as a bijection.

Sources: S. Ioffe, C. Szegedy (2015), Batch normalization; L. Dinh, J. Sohl-Dickstein, S. Bengio (2017), Density
estimation using Real NVP, section 3.7.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.errors import ShapeError

__all__ = ["BatchNorm", "batchnorm"]


class BatchNorm(Flow, TransformModule):
    """Bijection of the real line, entry by entry, whose inverse normalises: x = γ (y - m) / √(v + ε) + β.

    In training mode the inverse takes m and v from the batch that it is given, and moves the moving averages towards
    them; in evaluation mode, and in the forward direction in either mode, m and v are the moving averages. Call
    `eval()` before sampling and before densities that are to be compared. γ is kept positive: max(gamma, 0) + 1e-6.

    Args:
        input_dim: the number of entries of the last dimension, n. The learnable parameters are `gamma` and `beta`, the
            moving averages `moving_mean` and `moving_variance`; all of shape (n,).
        momentum: the weight of the present batch in the moving averages.
        epsilon: added to the variance.

    Raises:
        ShapeError: in training mode, a batch of fewer than two values for an entry.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = BatchNorm(2)
        >>> y = 5 + 3 * torch.randn(100, 2)
        >>> x = transform.inv(y)
        >>> x.mean(0).abs().max().item() < 1e-5, bool(torch.allclose(x.std(0), torch.ones(2)))
        (True, True)
    """

    domain = constraints.real
    codomain = constraints.real
    sign = +1

    moving_mean: Tensor
    moving_variance: Tensor

    def __init__(self, input_dim: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        TransformModule.__init__(self)
        self.input_dim = input_dim
        self.momentum = momentum
        self.epsilon = epsilon
        self.gamma = nn.Parameter(torch.ones(input_dim))
        self.beta = nn.Parameter(torch.zeros(input_dim))
        self.register_buffer("moving_mean", torch.zeros(input_dim))
        self.register_buffer("moving_variance", torch.ones(input_dim))

    @property
    def constrained_gamma(self) -> Tensor:
        """γ, positive, shape (n,)."""
        return torch.relu(self.gamma) + 1e-6

    def _statistics(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance over all dimensions but the last."""
        rows = y.reshape(-1, y.size(-1))
        if rows.size(0) < 2:
            raise ShapeError(
                "batch normalisation needs a batch in training mode",
                expected="at least two values for each entry",
                got=y.shape,
                hint="give more values, or call eval() to use the moving averages",
            )
        return rows.mean(0), rows.var(0)

    def _log_jacobian(self, variance: Tensor, value: Tensor) -> Tensor:
        return (0.5 * (variance + self.epsilon).log() - self.constrained_gamma.log()).expand(value.shape)

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scale = (self.moving_variance + self.epsilon).sqrt() / self.constrained_gamma
        return (x - self.beta) * scale + self.moving_mean, self._log_jacobian(self.moving_variance, x)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        mean, variance = self.moving_mean, self.moving_variance
        if self.training:
            mean, variance = self._statistics(y)
            with torch.no_grad():  # the module's own state, as in torch.nn.BatchNorm1d
                self.moving_mean.lerp_(mean, self.momentum)
                self.moving_variance.lerp_(variance, self.momentum)
        x = (y - mean) * (self.constrained_gamma / (variance + self.epsilon).sqrt()) + self.beta
        return x, self._log_jacobian(variance, x)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |dy/dx| of each entry, the shape of x; in training mode with the statistics of y."""
        return self._log_jacobian(self._statistics(y)[1] if self.training else self.moving_variance, x)


def batchnorm(input_dim: int, **kwargs: Any) -> BatchNorm:
    """Return a BatchNorm.

    Args:
        input_dim: the number of entries.
        **kwargs: `momentum` and `epsilon`.
    """
    return BatchNorm(input_dim, **kwargs)
