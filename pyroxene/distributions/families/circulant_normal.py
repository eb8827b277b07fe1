"""CirculantNormal: a normal distribution on a ring, whose covariance depends on the distance around it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.utils import lazy_property

from pyroxene.distributions import constraints, peer_constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["CirculantNormal"]

_LOG_TWO_PI = math.log(2 * math.pi)

_SMALL = 128
"""Up to this size the Fourier transform of a density is a product of matrices, which the native engine knows: value and
gradient then take 1 microsecond for n = 64 and 27 for n = 256. In eager mode the product costs more than torch's
transform, 56 microseconds against 4 for n = 64 and 1200 against 5 for n = 256, where it would hurt."""


class CirculantNormal(TorchDistribution):
    """Normal distribution of a vector of n numbers with a circulant covariance, C_ij = row[(i - j) mod n].

    The discrete Fourier transform F diagonalises C; its eigenvalues are those of the row, lambda = F row. The density
    is exp(-sum_k |F (x - loc)|_k^2 / (2 n lambda_k)) / ((2 pi)^(n / 2) prod_k lambda_k^(1/2)), in time n log n
    for large n.

    The mean is loc, each variance row[0].

    Args:
        loc: mean, shape (*batch_shape, n).
        covariance_row: first row of the covariance, symmetric around the ring, with a positive Fourier transform,
            shape (*batch_shape, n); or
        covariance_rfft: its real Fourier transform, the eigenvalues, positive, shape (*batch_shape, n // 2 + 1).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither are given.
        ShapeError: they do not fit loc.

    Support: real vectors of n entries.

    Source: R. M. Gray (2006), Toeplitz and Circulant Matrices: A Review, chapter 3.

    Example:
        >>> d = CirculantNormal(torch.zeros(4), covariance_row=torch.tensor([2.0, 0.5, 0.2, 0.5]))
        >>> d.covariance_rfft, d.log_prob(torch.tensor([0.1, 0.2, -0.3, 0.5]))
        (tensor([3.2000, 1.8000, 1.2000]), tensor(-5.0651))
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_row": peer_constraints.positive_definite_circulant_vector,
        "covariance_rfft": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: torch.Tensor,
        covariance_row: torch.Tensor | None = None,
        covariance_rfft: torch.Tensor | None = None,
        *,
        validate_args: bool | None = None,
    ) -> None:
        if (covariance_row is None) == (covariance_rfft is None):
            raise ParameterError(
                "CirculantNormal takes one covariance",
                expected="exactly one of covariance_row and covariance_rfft",
                got="neither" if covariance_row is None else "both",
            )
        name = "covariance_rfft" if covariance_row is None else "covariance_row"
        given: Any = covariance_rfft if covariance_row is None else covariance_row
        size = loc.shape[-1] if loc.dim() else 0
        length = size // 2 + 1 if covariance_row is None else size
        if size < 1 or given.shape[-1:] != (length,):
            raise ShapeError(
                f"{name} of CirculantNormal does not fit loc",
                expected=f"{name} (..., {length}) for loc (..., {size}), a vector at least",
                got=f"loc {tuple(loc.shape)}, {name} {tuple(given.shape)}",
            )
        batch_shape = torch.Size(broadcast_shape(loc.shape[:-1], given.shape[:-1]))
        self.loc = loc.expand(batch_shape + loc.shape[-1:])
        self.__dict__[name] = given.expand(batch_shape + given.shape[-1:])
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)

    @classmethod
    def infer_shapes(
        cls,
        loc: Sequence[int],
        covariance_row: Sequence[int] | None = None,
        covariance_rfft: Sequence[int] | None = None,
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        given = covariance_rfft if covariance_row is None else covariance_row
        return torch.Size(broadcast_shape(loc[:-1], (given or (0,))[:-1])), torch.Size(loc[-1:])

    def expand(self, batch_shape: Size, _instance: Any = None) -> CirculantNormal:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(CirculantNormal, _instance)
        batch_shape = torch.Size(batch_shape)
        for name in ("loc", "covariance_row", "covariance_rfft"):
            if name in self.__dict__:
                tensor = self.__dict__[name]
                new.__dict__[name] = tensor.expand(batch_shape + tensor.shape[-1:])
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @lazy_property
    def covariance_row(self) -> torch.Tensor:
        """First row of the covariance, shape (*batch_shape, n)."""
        return torch.fft.irfft(self.covariance_rfft, self._event_shape[0])

    @lazy_property
    def covariance_rfft(self) -> torch.Tensor:
        """Eigenvalues of the covariance, each pair once, shape (*batch_shape, n // 2 + 1)."""
        return _rfft(self.covariance_row)[..., 0]

    @property
    def covariance_matrix(self) -> torch.Tensor:
        """The covariance, shape (*batch_shape, n, n)."""
        size = self._event_shape[0]
        place = torch.arange(size, device=self.loc.device)
        index = (place - place.unsqueeze(-1)) % size
        return self.covariance_row.index_select(-1, index.flatten()).unflatten(-1, (size, size))

    @property
    def multiplicity(self) -> torch.Tensor:
        """How often each eigenvalue occurs: once for constants and the fastest wave of an even ring, else twice."""
        size = self._event_shape[0]
        wave = torch.arange(size // 2 + 1, device=self.loc.device)
        return torch.where((2 * wave) % size == 0, 1.0, 2.0).to(self.loc.dtype)

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw loc + C^(1/2) e with e of independent normal entries, (*sample_shape, *batch_shape, n)."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.fft.rfft(torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device))
        return self.loc + torch.fft.irfft(self.covariance_rfft.sqrt() * white, self._event_shape[0])

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        log_det = (self.multiplicity * self.covariance_rfft.log()).sum(-1)
        return -0.5 * (self.squared_distance(value) + log_det + self._event_shape[0] * _LOG_TWO_PI)

    def squared_distance(self, value: torch.Tensor) -> torch.Tensor:
        """Return the squared Mahalanobis distance of a value from loc, (*sample_shape, *batch_shape)."""
        wave = _rfft(value - self.loc).square().sum(-1) / self._event_shape[0]
        return (self.multiplicity * wave / self.covariance_rfft).sum(-1)

    def entropy(self) -> torch.Tensor:
        """Return the entropy, shape batch_shape."""
        log_det = (self.multiplicity * self.covariance_rfft.log()).sum(-1)
        return 0.5 * (self._event_shape[0] * (1 + _LOG_TWO_PI) + log_det)

    @property
    def mean(self) -> torch.Tensor:
        """Loc."""
        return self.loc

    @property
    def mode(self) -> torch.Tensor:
        """Loc."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """The first entry of the row, for each entry; shape (*batch_shape, n)."""
        return self.covariance_row[..., :1].expand(self.shape())


def _rfft(x: torch.Tensor) -> torch.Tensor:
    """The real Fourier transform over the last dimension, real and imaginary parts last, (..., n // 2 + 1, 2)."""
    size = x.shape[-1]
    if size > _SMALL:
        return torch.view_as_real(torch.fft.rfft(x))
    place = torch.arange(size, device=x.device)
    turns = place.unsqueeze(-1) * place[: size // 2 + 1] % size  # whole turns are taken off before they cost precision
    angle = turns.to(torch.float64) * (-2 * math.pi / size)
    waves = torch.stack([angle.cos(), angle.sin()], -1).to(x.dtype)
    return (x.unsqueeze(-2) @ waves.flatten(1)).squeeze(-2).unflatten(-1, (size // 2 + 1, 2))
