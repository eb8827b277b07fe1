"""Running covariances: one sample at a time, without keeping any (Welford 1962)."""

from __future__ import annotations

import torch

from pyroxene.errors import TooFewSamplesError

__all__ = ["WelfordArrowheadCovariance", "WelfordCovariance"]

_WEIGHT, _SMALL = 5.0, 1e-3
"""A regularised estimate is drawn to 1e-3 times the identity with the weight of five samples, as Stan's is."""


def _too_few(count: int) -> TooFewSamplesError:
    return TooFewSamplesError(
        "a covariance cannot be told from so few samples", expected="two samples or more", got=count
    )


class WelfordCovariance:
    """Variances, or a covariance, of the samples seen so far; final.

    Args:
        diagonal: whether only variances are wanted.

    Source: Welford 1962, "Note on a method for calculating corrected sums of squares and products"; the
        regularisation: Stan Reference Manual, "HMC algorithm parameters".

    Example:
        >>> running = WelfordCovariance()
        >>> for x in (1.0, 2.0, 3.0):
        ...     running.update(torch.tensor([x, 10.0 * x]))
        >>> running.get_covariance(regularize=False)
        tensor([  1., 100.])
    """

    def __init__(self, diagonal: bool = True) -> None:
        self.diagonal = diagonal
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.n_samples = 0
        self._mean: torch.Tensor | float = 0.0
        self._m2: torch.Tensor | float = 0.0

    def update(self, sample: torch.Tensor) -> None:
        """Take one more sample into account, shape (dim,)."""
        self.n_samples += 1
        before = sample - self._mean
        self._mean = self._mean + before / self.n_samples
        after = sample - self._mean
        self._m2 = self._m2 + (before * after if self.diagonal else torch.outer(after, before))

    def get_covariance(self, regularize: bool = True) -> torch.Tensor:
        """Return the variances, shape (dim,), or the covariance, shape (dim, dim), by n - 1.

        Args:
            regularize: draw the estimate to a small multiple of the identity, so that it is positive definite.

        Raises:
            TooFewSamplesError: fewer than two samples were seen.
        """
        if self.n_samples < 2:
            raise _too_few(self.n_samples)
        assert isinstance(self._m2, torch.Tensor)
        covariance = self._m2 / (self.n_samples - 1)
        if not regularize:
            return covariance
        total = self.n_samples + _WEIGHT
        covariance = covariance * (self.n_samples / total)
        small = _SMALL * (_WEIGHT / total)
        return covariance + (small if self.diagonal else small * torch.eye(len(covariance)).to(covariance))


class WelfordArrowheadCovariance:
    """The first rows of a covariance, and the variances of the other coordinates; final.

    Args:
        head_size: how many of the first coordinates are the head.

    Source: as `WelfordCovariance`.
    """

    def __init__(self, head_size: int = 0) -> None:
        self.head_size = head_size
        self.reset()

    def reset(self) -> None:
        """Forget all samples."""
        self.n_samples = 0
        self._mean: torch.Tensor | float = 0.0
        self._m2_top: torch.Tensor | float = 0.0
        self._m2_bottom_diag: torch.Tensor | float = 0.0

    def update(self, sample: torch.Tensor) -> None:
        """Take one more sample into account, shape (dim,)."""
        self.n_samples += 1
        head = self.head_size
        before = sample - self._mean
        self._mean = self._mean + before / self.n_samples
        after = sample - self._mean
        self._m2_top = self._m2_top + torch.outer(after[:head], before)
        self._m2_bottom_diag = self._m2_bottom_diag + before[head:] * after[head:]

    def get_covariance(self, regularize: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the head's rows, shape (head_size, dim), and the variances of the others, (dim - head_size,).

        Args:
            regularize: draw the estimate to a small multiple of the identity.

        Raises:
            TooFewSamplesError: fewer than two samples were seen.
        """
        if self.n_samples < 2:
            raise _too_few(self.n_samples)
        assert isinstance(self._m2_top, torch.Tensor) and isinstance(self._m2_bottom_diag, torch.Tensor)
        top, rest = self._m2_top / (self.n_samples - 1), self._m2_bottom_diag / (self.n_samples - 1)
        if not regularize:
            return top, rest
        total = self.n_samples + _WEIGHT
        small = _SMALL * (_WEIGHT / total)
        identity = torch.eye(self.head_size, top.shape[-1]).to(top)
        return top * (self.n_samples / total) + small * identity, rest * (self.n_samples / total) + small
