"""Normal distributions of data with gaps: what is nan is not observed."""

from __future__ import annotations

import math

import torch

from pyroxene.distributions.torch import MultivariateNormal, Normal

__all__ = ["NanMaskedMultivariateNormal", "NanMaskedNormal"]


class NanMaskedNormal(Normal):
    """Normal distribution whose log density is 0 where a value is nan.

    The density is exp(-(x - loc)^2 / (2 scale^2)) / (scale sqrt(2 pi)) elsewhere; mean loc, variance scale^2.

    Args:
        loc: mean, shape batch_shape.
        scale: standard deviation, positive, shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real numbers, and nan for what is missing.

    Source: the marginal of a normal distribution over nothing is 1.

    Example:
        >>> NanMaskedNormal(0.0, 1.0).log_prob(torch.tensor([0.0, torch.nan]))
        tensor([-0.9189,  0.0000])
    """

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, 0 where the value is nan, with gradients 0 there."""
        missing = value.isnan()
        return torch.where(missing, 0.0, super().log_prob(torch.where(missing, 0.0, value)))


class NanMaskedMultivariateNormal(MultivariateNormal):
    """Multivariate normal distribution whose log density is the marginal one of the entries that are not nan.

    For observed entries o the density is that of N(loc_o, covariance_oo); 1 where all are missing. Each value costs a
    Cholesky factorisation, as each may miss other entries.

    Args:
        loc: mean, shape (*batch_shape, D).
        covariance_matrix: covariance, positive definite, shape (*batch_shape, D, D).
        precision_matrix: inverse of the covariance, shape (*batch_shape, D, D).
        scale_tril: lower Cholesky factor of the covariance, shape (*batch_shape, D, D). Give one of the three.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of D entries, nan for what is missing. Mean loc, variance the covariance's diagonal.

    Source: T. W. Anderson (2003), An Introduction to Multivariate Statistical Analysis, theorem 2.4.3.

    Example:
        >>> d = NanMaskedMultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> d.log_prob(torch.tensor([[0.0, 0.0], [0.0, torch.nan]]))
        tensor([-1.8379, -0.9189])
    """

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log marginal density of the entries that are there."""
        there = ~value.isnan()
        centred = torch.where(there, torch.where(there, value, 0.0) - self.loc, 0.0)
        if self._validate_args:
            self._validate_sample(centred)
        there = there.expand(centred.shape)
        tril = self._unbroadcasted_scale_tril
        eye = torch.eye(tril.shape[-1], dtype=tril.dtype, device=tril.device)
        both = there.unsqueeze(-1) & there.unsqueeze(-2)
        factor = torch.linalg.cholesky(torch.where(both, tril @ tril.mT, eye))
        white = torch.linalg.solve_triangular(factor, centred.unsqueeze(-1), upper=False).squeeze(-1)
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return -0.5 * (white.square().sum(-1) + math.log(2 * math.pi) * there.to(tril.dtype).sum(-1)) - log_det
