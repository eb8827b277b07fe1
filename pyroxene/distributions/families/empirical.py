"""Empirical: a distribution over weighted samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributions as torchdist

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.errors import ShapeError, SupportError

__all__ = ["Empirical"]


class Empirical(TorchDistribution):
    """Discrete distribution over given samples, each with a weight.

    Args:
        samples: the support, shape (*batch_shape, num_samples, *event_shape).
        log_weights: unnormalised log weights, shape (*batch_shape, num_samples).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Raises:
        ShapeError: the shape of `log_weights` is not the leftmost part of that of `samples`.

    Example:
        >>> d = Empirical(torch.tensor([1.0, 2.0, 2.0]), torch.zeros(3))
        >>> d.log_prob(torch.tensor(2.0)).exp(), d.mean
        (tensor(0.6667), tensor(1.6667))
    """

    arg_constraints: dict[str, constraints.Constraint] = {}
    support = constraints.real
    has_enumerate_support = True

    def __init__(self, samples: torch.Tensor, log_weights: torch.Tensor, validate_args: bool | None = None) -> None:
        shape = log_weights.shape
        if not shape or samples.shape[: len(shape)] != shape:
            raise ShapeError(
                f"The shape of ``log_weights`` ({tuple(shape)}) must match the leftmost shape of ``samples`` "
                f"({tuple(samples.shape)})",
                hint="give each sample one weight, along the last dimension of log_weights",
            )
        self._samples = samples
        self._index = torchdist.Categorical(logits=log_weights, validate_args=False)
        self._log_weights = log_weights
        super().__init__(shape[:-1], samples.shape[len(shape) :], validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, samples: Sequence[int], log_weights: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(log_weights[:-1]), torch.Size(samples[len(log_weights) :])

    @property
    def sample_size(self) -> int:
        """The number of samples, counted over the batch."""
        return self._log_weights.numel()

    @property
    def log_weights(self) -> torch.Tensor:
        """The unnormalised log weights, shape (*batch_shape, num_samples)."""
        return self._log_weights

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw samples by their weights, with replacement."""
        with torch.no_grad():
            index = self._index.sample(torch.Size(sample_shape)).unsqueeze(-1)
            lead = len(sample_shape)
            samples = self._samples.expand(torch.Size(sample_shape) + self._samples.shape)
            index = index.reshape(index.shape + (1,) * self.event_dim)
            index = index.expand(index.shape[: index.dim() - self.event_dim] + self._event_shape)
            return samples.gather(lead + len(self._batch_shape), index).squeeze(lead + len(self._batch_shape))

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log of the weight of all samples equal to each value, -inf where none is.

        Args:
            value: shape (*sample_shape, *batch_shape, *event_shape).

        Raises:
            ShapeError: the rightmost part of the value's shape is another.
        """
        own = self.shape()
        if value.shape[value.dim() - len(own) :] != own:
            raise ShapeError(f"``value.shape`` must be {tuple(own)} or end so", got=f"shape {tuple(value.shape)}")
        equal = self._samples == value.unsqueeze(value.dim() - self.event_dim)
        if self.event_dim:
            equal = equal.flatten(-self.event_dim).all(-1)
        return torch.where(equal, self._index.logits, -torch.inf).logsumexp(-1)

    def _weighted_mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over samples of a value for each; a weight of zero wins over an infinite value."""
        weights = self._index.probs.reshape(self._index.probs.shape + (1,) * self.event_dim)
        weighted = torch.where(weights > 0, weights * torch.where(weights > 0, value, 0.0), 0.0)
        return weighted.sum(len(self._batch_shape))

    def _require_real(self, what: str) -> None:
        if not self._samples.is_floating_point():
            raise SupportError(
                f"{what} for discrete empirical distribution undefined",
                got=self._samples,
                hint="convert the samples to a floating dtype, or categories to one-hot vectors",
            )

    @property
    def mean(self) -> torch.Tensor:
        """The weighted mean, (*batch_shape, *event_shape); samples of integers have none."""
        self._require_real("Mean")
        return self._weighted_mean(self._samples)

    @property
    def variance(self) -> torch.Tensor:
        """The weighted variance, (*batch_shape, *event_shape); samples of integers have none."""
        self._require_real("Variance")
        return self._weighted_mean((self._samples - self.mean.unsqueeze(len(self._batch_shape))).pow(2))

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """Return the samples with their dimension first, (num_samples, *batch_shape, *event_shape)."""
        return self._samples.movedim(len(self._batch_shape), 0)

    def __repr__(self) -> str:
        return f"Empirical(samples: {tuple(self._samples.shape)}, log_weights: {tuple(self._log_weights.shape)})"
