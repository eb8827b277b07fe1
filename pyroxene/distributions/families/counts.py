"""What the distributions of one integer share: parameters of one dtype, expansion, cdf and quantiles by integers."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch

from pyroxene.distributions.tails.registry import icdf, unchecked
from pyroxene.distributions.torch_distribution import Size, TorchDistribution
from pyroxene.errors import UnsupportedError

__all__ = ["Counts", "FiniteCounts", "as_parameters", "common_value"]

Tensor = torch.Tensor


def as_parameters(*values: Any) -> tuple[Tensor, ...]:
    """Return numbers and tensors as tensors of one shape and one floating dtype: the widest given, else the default.

    Example:
        >>> as_parameters(0.5, torch.tensor([1, 2]))
        (tensor([0.5000, 0.5000]), tensor([1., 2.]))
    """
    floating = [v.dtype for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()]
    dtype = functools.reduce(torch.promote_types, floating) if floating else torch.get_default_dtype()
    device = next((v.device for v in values if isinstance(v, torch.Tensor)), None)
    tensors = [
        v.to(dtype) if isinstance(v, torch.Tensor) else torch.as_tensor(v, dtype=dtype, device=device) for v in values
    ]
    return tuple(torch.broadcast_tensors(*tensors))


def common_value(d: Any, name: str, parameter: Tensor) -> int:
    """Return the one whole number that all entries of a parameter are, so that values can be listed in lock-step."""
    first = parameter.reshape(-1)[0]
    if not bool((parameter == first).all()):
        raise UnsupportedError(
            f"{type(d).__name__} cannot list its values: they differ within the batch",
            expected=f"one {name} for the whole batch",
            got=f"between {int(parameter.min())} and {int(parameter.max())}",
            hint="enumerate each part of the batch by itself, or give a common bound and mask",
        )
    return int(first)


class Counts(TorchDistribution):
    """Abstract: a distribution of one integer.

    Implementing a distribution of one integer:
        - Name the tensor attributes, all of batch shape, in `_tensors`, so that `expand` finds them.
        - Define `_log_lower(k)` and `_log_upper(k)`, the logs of P(X <= k) and P(X > k), for an integer k of the
          support other than its end; `_ends()` where the support does not start at 0, or ends.
    """

    _tensors: tuple[str, ...] = ()

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        for name in self._tensors:
            setattr(new, name, getattr(self, name).expand(batch_shape))
        self._copy_options(new)
        TorchDistribution.__init__(new, batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _copy_options(self, new: Any) -> None:
        """Copy to an expanded distribution what is not a tensor."""

    def _ends(self) -> tuple[Any, Any]:
        """The least and the greatest value."""
        return 0.0, math.inf

    def _log_lower(self, k: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no distribution function")

    def _log_upper(self, k: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no distribution function")

    def _extended(self, value: Tensor, upper: bool) -> Tensor:
        """A tail at any real number, which counts as the integer below it."""
        low, high = self._ends()
        k = value.floor()
        starts, ends = k >= low, k < high
        k = torch.where(starts & ends, k, low)
        tail = self._log_upper(k) if upper else self._log_lower(k)
        below, above = (0.0, -math.inf) if upper else (-math.inf, 0.0)
        return torch.where(starts, torch.where(ends, tail, above), below)

    def log_cdf(self, value: Tensor) -> Tensor:
        """Return the log of the probability of no greater value.

        Args:
            value: any real; it broadcasts with batch_shape.
        """
        return self._extended(value, upper=False)

    def log_survival(self, value: Tensor) -> Tensor:
        """Return the log of the probability of a greater value.

        Args:
            value: any real; it broadcasts with batch_shape.
        """
        return self._extended(value, upper=True)

    def cdf(self, value: Tensor) -> Tensor:
        """Return the probability of no greater value."""
        return self.log_cdf(value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Return the smallest value with at least this cdf."""
        return icdf(self, value)


class FiniteCounts(Counts):
    """Abstract: a distribution of one integer from a finite range, whose tails are sums of probabilities."""

    has_enumerate_support = True

    def _sum(self, first: Tensor, last: Tensor) -> Tensor:
        """Log of the sum of probabilities from one integer to another."""
        first, last = torch.broadcast_tensors(first, last)
        size = int((last - first).max()) + 1 if first.numel() else 1
        steps = torch.arange(size, dtype=first.dtype, device=first.device).reshape(-1, *[1] * first.dim())
        k = first + steps
        counts = k <= last
        log_prob = unchecked(self).log_prob(torch.where(counts, k, last))
        return torch.where(counts, log_prob, -math.inf).logsumexp(0)

    def _log_lower(self, k: Tensor) -> Tensor:
        low, _ = self._ends()
        return self._sum(torch.as_tensor(low, dtype=k.dtype, device=k.device), k)

    def _log_upper(self, k: Tensor) -> Tensor:
        _, high = self._ends()
        return self._sum(k + 1, torch.as_tensor(high, dtype=k.dtype, device=k.device))

    def entropy(self) -> Tensor:
        """Return the entropy in nats, summed over the values.

        Raises:
            NotImplementedError: the values differ within the batch.
        """
        log_prob = self.log_prob(self.enumerate_support(expand=False))
        return -torch.where(log_prob == -math.inf, 0.0, log_prob.exp() * log_prob).sum(0)

    def _range(self, low: int, high: int, like: Tensor, expand: bool) -> Tensor:
        """The integers of a closed range as `enumerate_support` returns them."""
        values = torch.arange(low, high + 1, dtype=like.dtype, device=like.device)
        values = values.reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values
