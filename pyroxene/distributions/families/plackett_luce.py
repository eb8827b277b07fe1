"""Plackett and Luce's distribution of rankings: choose the best, then the best of the rest, and so on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions.utils import lazy_property

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.errors import ParameterError, UnsupportedError

__all__ = ["PlackettLuce", "permutation"]

Tensor = torch.Tensor

_MOST_LISTED = 8
"""8! = 40320 rankings."""


class _Permutation(constraints.Constraint):
    """Vectors that hold each of 0, ..., K - 1 once."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        """Whether each vector, sorted, counts up from 0."""
        expected = torch.arange(value.shape[-1], device=value.device)
        return (value.sort(-1).values == expected).all(-1)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


permutation = _Permutation()


class PlackettLuce(TorchDistribution):
    """Rankings of K items, drawn one after the other without replacement in proportion to their scores.

    A value v lists the items from the first to the last; with s = scores:

        p(v) = product over i of s_(v_i) / (s_(v_i) + ... + s_(v_K)).

    Args:
        scores: s, positive weights, shape (*batch_shape, K).
        logits: their logarithms, up to a constant; shape (*batch_shape, K); give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: both or neither of `scores` and `logits` are given.

    Source: R. L. Plackett (1975), The analysis of permutations, equation 1; J. I. Yellott (1977) for sampling by
    sorting Gumbel variables.

    Example:
        >>> d = PlackettLuce(torch.tensor([1.0, 3.0]))
        >>> d.log_prob(torch.tensor([1, 0])).exp()
        tensor(0.7500)
    """

    arg_constraints = {
        "scores": constraints.independent(constraints.positive, 1),
        "logits": constraints.real_vector,
    }
    support = permutation
    has_enumerate_support = True

    def __init__(
        self, scores: Tensor | None = None, logits: Tensor | None = None, *, validate_args: bool | None = None
    ) -> None:
        if (scores is None) == (logits is None):
            raise ParameterError(
                "Either `scores` or `logits` must be specified, but not both.",
                got="neither" if scores is None else "both",
                hint="scores are positive; logits are their logarithms",
            )
        name, given = ("logits", logits) if scores is None else ("scores", scores)
        assert given is not None
        self.__dict__[name] = given  # the other one is computed when it is read, and not checked
        super().__init__(given.shape[:-1], given.shape[-1:], validate_args=validate_args)

    @lazy_property
    def scores(self) -> Tensor:
        """Positive weights, shape (*batch_shape, K)."""
        return self.logits.exp()

    @lazy_property
    def logits(self) -> Tensor:
        """Logarithms of the scores, shape (*batch_shape, K)."""
        return self.scores.log()

    @classmethod
    def infer_shapes(
        cls, scores: Sequence[int] | None = None, logits: Sequence[int] | None = None
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        shape = torch.Size(scores if scores is not None else logits or ())
        return shape[:-1], shape[-1:]

    def expand(self, batch_shape: Size, _instance: Any = None) -> PlackettLuce:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        batch_shape = torch.Size(batch_shape)
        for name in ("scores", "logits"):
            if name in self.__dict__:
                new.__dict__[name] = self.__dict__[name].expand(batch_shape + self._event_shape)
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def sample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw rankings, integers, by sorting the logits with Gumbel noise on them."""
        with torch.no_grad():
            shape = self._extended_shape(sample_shape)
            exponential = torch.empty(shape, dtype=self.logits.dtype, device=self.logits.device).exponential_()
            return (self.logits - exponential.log()).argsort(-1, descending=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log probability of each ranking."""
        if self._validate_args:
            self._validate_sample(value)
        index = value.long()
        shape = torch.broadcast_shapes(index.shape, self.logits.shape)
        logits = self.logits.expand(shape).gather(-1, index.expand(shape))
        remaining = logits.flip(-1).logcumsumexp(-1).flip(-1)
        return (logits - remaining).sum(-1)

    @property
    def mode(self) -> Tensor:
        """The likeliest ranking: items by falling score."""
        return self.logits.argsort(-1, descending=True)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """Return all K! rankings along a new first dimension.

        Raises:
            NotImplementedError: there are more than 8 items.
        """
        size = self._event_shape[0]
        if size > _MOST_LISTED:
            raise UnsupportedError(
                f"PlackettLuce cannot list {math.factorial(size)} rankings",
                expected=f"{_MOST_LISTED} items at most",
                got=f"{size} items",
            )
        values = torch.tensor(list(itertools.permutations(range(size))), device=self.logits.device)
        values = values.reshape(-1, *[1] * len(self._batch_shape), size)
        return values.expand(-1, *self._batch_shape, size) if expand else values
