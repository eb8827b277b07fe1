"""What the two matchings share: exact sums over all matchings, belief propagation, the best matching.

A matching gives every source one destination so that each destination is used `capacity` times. Its weight is the sum
of the logits it uses; the log partition function is that of the sum over all matchings, a permanent.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import gather
from pyroxene.errors import CannotSampleError, ParameterError, UnsupportedError, UsageError
from pyroxene.ops.lazily import Lazily

__all__ = ["Matching", "MatchingConstraint"]

optimize = Lazily("scipy.optimize")

_MOST_STATES = 2**18  # what an exact sum may hold: 18 destinations used once, 11 used twice
_MOST_LISTED = 10**7  # numbers in a list of all matchings
_LOG_ZERO = -1e30  # finite, so that gradients of sums of logarithms of zero are not nan


class MatchingConstraint(constraints.Constraint):
    """Vectors of destinations, one for each source, in which each destination occurs `capacity` times.

    Args:
        num_destinations: how many destinations there are.
        capacity: how often each is used.
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, num_destinations: int, capacity: int) -> None:
        self.num_destinations = num_destinations
        self.capacity = capacity
        super().__init__()

    def check(self, value: torch.Tensor) -> torch.Tensor:
        """Whether each vector is a matching; vectors of another length are not."""
        if value.shape[-1] != self.num_destinations * self.capacity:
            return torch.zeros(value.shape[:-1], dtype=torch.bool, device=value.device)
        used = value.unsqueeze(-1) == torch.arange(self.num_destinations, device=value.device)
        return (used.sum(-2) == self.capacity).all(-1)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.num_destinations, self.capacity))


@functools.lru_cache(maxsize=8)
def _levels(num_destinations: int, capacity: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """How the states of occupancy lead to one another, source by source.

    A state is how often each destination is used; it belongs to level s where s sources are placed.

    Returns:
        For each source, (before, possible), both (num_states of the level it leads to, num_destinations): the place in
        the former level of the state in which the destination is used once less, and whether there is one.
    """
    base = capacity + 1
    states = np.arange(base**num_destinations)
    digits = states[:, None] // base ** np.arange(num_destinations) % base
    level = digits.sum(1)
    place = np.zeros(len(states), dtype=np.int64)
    members = [np.flatnonzero(level == s) for s in range(num_destinations * capacity + 1)]
    for each in members:
        place[each] = np.arange(len(each))
    tables = []
    for each in members[1:]:
        possible = digits[each] > 0
        before = np.where(possible, each[:, None] - base ** np.arange(num_destinations), 0)
        tables.append((torch.as_tensor(np.where(possible, place[before], 0)), torch.as_tensor(possible)))
    return tables


def _arrangements(num_destinations: int, capacity: int) -> Iterator[list[int]]:
    """Every matching, in lexicographic order."""
    left = [capacity] * num_destinations

    def extend(prefix: list[int]) -> Iterator[list[int]]:
        if len(prefix) == num_destinations * capacity:
            yield prefix
        for d in range(num_destinations):
            if left[d]:
                left[d] -= 1
                yield from extend([*prefix, d])
                left[d] += 1

    return extend([])


def _without_each(x: torch.Tensor, dim: int, order: int) -> list[torch.Tensor]:
    """Log elementary symmetric polynomials of exp(x) along a dimension, each entry left out in turn.

    Returns:
        The polynomials of degree 0, ..., order, each of the shape of x. Sums of positive terms only, so no digits are
        lost.
    """
    size = x.shape[dim]

    def before(y: torch.Tensor) -> list[torch.Tensor]:
        found = [torch.zeros_like(y)]
        for k in range(order):  # the first k entries have fewer than k before them: zeros, which stay out of the sum
            terms = (y + found[-1]).narrow(dim, k, size - k)
            total = torch.logcumsumexp(terms, dim).narrow(dim, 0, size - k - 1)
            zeros = torch.full_like(y.narrow(dim, 0, k + 1), _LOG_ZERO)
            found.append(torch.cat([zeros, total], dim))
        return found

    left = before(x)
    right = [each.flip(dim) for each in before(x.flip(dim))]
    return [
        torch.stack([left[i] + right[degree - i] for i in range(degree + 1)]).logsumexp(0)
        for degree in range(order + 1)
    ]


class Matching(TorchDistribution):
    """Abstract: random matchings of sources to destinations.

    Args:
        logits: log weight of each pair, shape (*batch_shape, num_sources, num_destinations).
        bp_iters: None for exact sums, else the iterations of belief propagation that approximate them.
        validate_args: whether to check the argument and values; None for the setting `validate_distributions_torch`.

    Implementing a matching: set `capacity`, how often each destination is used.
    """

    arg_constraints = {"logits": constraints.independent(constraints.real, 2)}
    has_enumerate_support = True
    capacity: int

    def __init__(self, logits: torch.Tensor, *, bp_iters: int | None = None, validate_args: bool | None = None) -> None:
        if logits.dim() < 2 or logits.shape[-2] != self.capacity * logits.shape[-1] or logits.shape[-1] == 0:
            raise ParameterError(
                f"logits of {type(self).__name__} have the wrong shape",
                expected=f"(..., {self.capacity} * num_destinations, num_destinations)",
                got=f"{tuple(logits.shape)}",
            )
        if bp_iters is not None and (not isinstance(bp_iters, int) or bp_iters < 1):
            raise UsageError("bp_iters must be a positive integer or None", got=bp_iters)
        self.logits = logits
        self.bp_iters = bp_iters
        self.num_sources, self.num_destinations = logits.shape[-2:]
        super().__init__(logits.shape[:-2], logits.shape[-2:-1], validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, logits: Sequence[int], bp_iters: int | None = None) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return torch.Size(logits[:-2]), torch.Size(logits[-2:-1])

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        """Vectors in which each destination occurs `capacity` times."""
        return MatchingConstraint(self.num_destinations, self.capacity)

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        logits = self.logits.expand(torch.Size(batch_shape) + self.logits.shape[-2:])
        Matching.__init__(new, logits, bp_iters=self.bp_iters, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _log_sums(self) -> list[torch.Tensor]:
        """Log sums over the placements of the first 0, 1, ... sources, by which destinations they use."""
        if (self.capacity + 1) ** self.num_destinations > _MOST_STATES:
            raise UnsupportedError(
                f"an exact sum over matchings to {self.num_destinations} destinations is too large",
                expected=f"at most {_MOST_STATES} states of occupancy",
                got=f"{self.capacity + 1}**{self.num_destinations}",
                hint="bp_iters=10 approximates the sum by belief propagation",
            )
        sums = [self.logits.new_zeros((*self._batch_shape, 1))]
        for s, (before, possible) in enumerate(_levels(self.num_destinations, self.capacity)):
            logits = self.logits[..., s : s + 1, :]
            terms = sums[-1][..., before.to(logits.device)] + logits
            sums.append(torch.where(possible.to(logits.device), terms, -torch.inf).logsumexp(-1))
        return sums

    def _bethe(self, bp_iters: int) -> torch.Tensor:
        """The log partition function of Bethe's approximation, after some iterations of belief propagation.

        Messages are log odds that a pair is matched: `down` from its source, `up` from its destination.
        """
        if self.num_destinations == 1:
            return self.logits.sum((-2, -1))
        up = torch.zeros_like(self.logits)
        down = up
        for _ in range(bp_iters):
            down = self.logits - _without_each(self.logits + up, -1, 1)[1]
            others = _without_each(down, -2, self.capacity)
            up = others[-2] - others[-1]
        at_sources = (self.logits + up).logsumexp(-1).sum(-1)
        others = _without_each(down, -2, self.capacity)
        # an elementary polynomial is what it is without its last entry, and with it
        at_destinations = torch.logaddexp(others[-1][..., -1, :], down[..., -1, :] + others[-2][..., -1, :]).sum(-1)
        at_pairs = torch.nn.functional.softplus(up + down).sum((-2, -1))
        return at_sources + at_destinations - at_pairs

    @property
    def log_partition_function(self) -> torch.Tensor:
        """The log of the sum of the weights of all matchings, shape batch_shape.

        Raises:
            UnsupportedError: an exact sum is too large.
        """
        return self._log_sums()[-1][..., 0] if self.bp_iters is None else self._bethe(self.bp_iters)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability of matchings, (*sample_shape, num_sources), each entry a destination."""
        if self._validate_args:
            self._validate_sample(value)
        used = gather(self.logits, value.long().unsqueeze(-1), -1)
        return used.sum((-2, -1)) - self.log_partition_function

    def enumerate_support(self, expand: bool = True) -> torch.Tensor:
        """Return all matchings along a new first dimension, in lexicographic order.

        Raises:
            UnsupportedError: there are too many.
        """
        count = math.factorial(self.num_sources) // math.factorial(self.capacity) ** self.num_destinations
        if count * self.num_sources > _MOST_LISTED:
            raise UnsupportedError(f"there are {count} matchings, too many to list", hint="sample, or ask for the mode")
        values = torch.tensor(list(_arrangements(self.num_destinations, self.capacity)), device=self.logits.device)
        values = values.reshape((count,) + (1,) * len(self._batch_shape) + (self.num_sources,))
        return values.expand((count,) + self.shape()) if expand else values

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw exact samples from the last source to the first, (*sample_shape, *batch_shape, num_sources).

        Raises:
            CannotSampleError: belief propagation was asked for, which approximates densities only.
        """
        if self.bp_iters is not None:
            raise CannotSampleError(
                f"{type(self).__name__} with bp_iters has no samples",
                hint="leave bp_iters out where it is sampled from",
            )
        shape = torch.Size(sample_shape) + self._batch_shape
        state = torch.zeros(shape, dtype=torch.long, device=self.logits.device)
        sums, tables, value = self._log_sums(), _levels(self.num_destinations, self.capacity), []
        for s in reversed(range(self.num_sources)):
            before, possible = (each.to(state.device)[state] for each in tables[s])
            log_weight = gather(sums[s], before, -1) + self.logits[..., s, :]
            weight = torch.where(possible, log_weight, -torch.inf).softmax(-1)
            chosen = torch.distributions.Categorical(weight, validate_args=False).sample()
            value.append(chosen)
            state = before.gather(-1, chosen.unsqueeze(-1)).squeeze(-1)
        return torch.stack(value[::-1], -1)

    @torch.no_grad()
    def mode(self) -> torch.Tensor:  # type: ignore[override]  # a method, as in Pyro
        """Return the heaviest matching of each batch entry, (*batch_shape, num_sources)."""
        columns = self.logits.repeat_interleave(self.capacity, -1).double().cpu()
        flat = columns.reshape((-1, self.num_sources, self.num_sources)).numpy()
        best = np.stack([optimize.linear_sum_assignment(each, maximize=True)[1] for each in flat])
        return torch.as_tensor(best // self.capacity, device=self.logits.device).reshape(self.shape())
