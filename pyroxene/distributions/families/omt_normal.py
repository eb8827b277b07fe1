"""OMTMultivariateNormal: a multivariate normal whose samples move the shortest way as its parameters change."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from pyroxene.distributions import constraints
from pyroxene.distributions.torch import MultivariateNormal
from pyroxene.distributions.torch_distribution import EMPTY, Size

__all__ = ["OMTMultivariateNormal"]


class OMTMultivariateNormal(MultivariateNormal):
    """Multivariate normal distribution with optimal-transport gradients of samples with respect to scale_tril.

    The density is exp(-|L^-1 (x - loc)|^2 / 2) / ((2 pi)^(D/2) det L) with L = scale_tril. Gradients of `rsample` are
    unbiased as those of MultivariateNormal, of less variance as a rule, and cost a decomposition of L.

    Args:
        loc: mean, shape (*batch_shape, D).
        scale_tril: lower Cholesky factor of the covariance, shape (*batch_shape, D, D).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of D entries. Mean loc, covariance L L^T.

    Source: M. Jankowiak and F. Obermeyer (2018), Pathwise Derivatives Beyond the Reparameterization Trick, section 4.1.

    Example:
        >>> scale_tril = torch.eye(2, requires_grad=True)
        >>> OMTMultivariateNormal(torch.zeros(2), scale_tril).rsample().sum().backward()
        >>> scale_tril.grad.shape
        torch.Size([2, 2])
    """

    arg_constraints = {"loc": constraints.real_vector, "scale_tril": constraints.lower_cholesky}

    def __init__(self, loc: torch.Tensor, scale_tril: torch.Tensor, validate_args: bool | None = None) -> None:
        super().__init__(loc, scale_tril=scale_tril, validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, loc: Any, scale_tril: Any) -> tuple[torch.Size, torch.Size]:  # type: ignore[override]
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return MultivariateNormal.infer_shapes(loc, scale_tril=scale_tril)

    def expand(self, batch_shape: Size, _instance: Any = None) -> OMTMultivariateNormal:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        return super().expand(batch_shape, _instance=new)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample; first-order gradients reach loc and scale_tril."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        moved: torch.Tensor = _Transport.apply(self.scale_tril, white)
        return self.loc + moved


class _Transport(torch.autograd.Function):
    """y = L e, with the gradient of the velocity field S y, S symmetric with S C + C S = dC for C = L L^T.

    Its adjoint: with G the symmetric part of the sum of grad y^T over samples, solve X C + C X = G; then the gradient
    with respect to L is the lower triangle of 2 X L, as the Lyapunov operator is its own adjoint.
    """

    @staticmethod
    def forward(ctx: Any, tril: torch.Tensor, white: torch.Tensor) -> torch.Tensor:
        y = (tril @ white.unsqueeze(-1)).squeeze(-1)
        ctx.save_for_backward(tril, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        tril, y = ctx.saved_tensors
        outer = grad.unsqueeze(-1) * y.unsqueeze(-2)
        outer = outer.sum_to_size(tril.shape)
        symmetric = (outer + outer.mT) / 2
        basis, singular, _ = torch.linalg.svd(tril)
        eigenvalues = singular.square()
        sums = eigenvalues.unsqueeze(-1) + eigenvalues.unsqueeze(-2)
        solution = basis @ (basis.mT @ symmetric @ basis / sums) @ basis.mT
        return (2 * solution @ tril).tril(), None
