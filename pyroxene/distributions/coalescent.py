"""Kingman's coalescent: when the lineages of sampled individuals meet in common ancestors, going back in time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape, gather
from pyroxene.errors import ParameterError, ShapeError

__all__ = [
    "CoalescentRateLikelihood",
    "CoalescentTimes",
    "CoalescentTimesConstraint",
    "CoalescentTimesWithRate",
    "bio_phylo_to_times",
]


def _lineages(leaf_times: torch.Tensor, coal_times: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How many lineages there are just after each event, time running forward.

    Events at one time are told apart: a coalescence is later than a leaf, of two leaves or two coalescences the one
    that stands first.

    Returns:
        (at_leaves, at_coals), integer tensors of the shapes of the times.
    """
    leaf, coal = leaf_times.detach(), coal_times.detach()

    def later(x: torch.Tensor, than: torch.Tensor) -> torch.Tensor:
        return (x.unsqueeze(-2) > than.unsqueeze(-1)).sum(-1)

    def tied(x: torch.Tensor) -> torch.Tensor:
        return (x.unsqueeze(-2) == x.unsqueeze(-1)).to(torch.long).tril(-1).sum(-1)

    at_or_later = (coal.unsqueeze(-2) >= leaf.unsqueeze(-1)).sum(-1)
    return later(leaf, leaf) + tied(leaf) - at_or_later, later(leaf, coal) - later(coal, coal) - tied(coal)


def _log_pairs(lineages: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The log of the number of pairs of lineages, -inf for fewer than two lineages."""
    count = lineages.to(dtype)
    possible = count > 1
    safe = torch.where(possible, count, torch.full_like(count, 2.0))
    return torch.where(possible, (safe * (safe - 1) / 2).log(), -math.inf)


def _exposure(at_leaves: torch.Tensor, at_coals: torch.Tensor, leaf: torch.Tensor, coal: torch.Tensor) -> torch.Tensor:
    """The integral of the number of pairs of lineages over time, from the antiderivative of the clock at the events.

    The number of pairs falls to nothing at both ends, so it integrates by parts: it grows backwards by the number of
    lineages at a leaf, and shrinks by that less one at a coalescence.
    """
    return (at_leaves.to(leaf.dtype) * leaf).sum(-1) - ((at_coals - 1).to(coal.dtype) * coal).sum(-1)


class CoalescentTimesConstraint(constraints.Constraint):
    """Vectors of coalescence times at each of which there are two lineages to merge.

    Args:
        leaf_times: when each leaf is sampled, shape (*batch_shape, num_leaves).
        ordered: whether the times must also increase.
    """

    event_dim = 1

    def __init__(self, leaf_times: torch.Tensor, *, ordered: bool = True) -> None:
        self.leaf_times = leaf_times
        self.ordered = ordered
        super().__init__()

    def check(self, value: torch.Tensor) -> torch.Tensor:
        """Whether each vector of times is possible, shape (*sample_shape, *batch_shape)."""
        possible = (_lineages(self.leaf_times, value)[1] >= 2).all(-1) & value.isfinite().all(-1)
        return possible & (value[..., :-1] <= value[..., 1:]).all(-1) if self.ordered else possible


def _sample_coalescent_times(leaf_times: torch.Tensor) -> torch.Tensor:
    """Draw coalescence times at rate 1 a pair, going back event by event.

    Args:
        leaf_times: (*batch_shape, num_leaves).

    Returns:
        Increasing times, (*batch_shape, num_leaves - 1).
    """
    leaves = leaf_times.sort(-1, descending=True).values
    num_leaves = leaves.shape[-1]
    never = leaves.new_full((*leaves.shape[:-1], 1), -math.inf)
    leaves = torch.cat([leaves, never], -1)
    now = leaves[..., 0]
    num_met, lineages = torch.ones_like(now, dtype=torch.long), torch.ones_like(now)
    events, is_coal = [], []
    for _ in range(2 * num_leaves - 2):
        pairs = lineages * (lineages - 1) / 2
        wait = torch.empty_like(now).exponential_() / pairs  # inf for a single lineage: the next leaf comes first
        next_leaf = leaves.gather(-1, num_met.unsqueeze(-1)).squeeze(-1)
        meets = now - wait > next_leaf
        now = torch.where(meets, now - wait, next_leaf)
        lineages = torch.where(meets, lineages - 1, lineages + 1)
        num_met = torch.where(meets, num_met, num_met + 1)
        events.append(now)
        is_coal.append(meets)
    if not events:
        return leaves[..., :0]
    when = torch.stack(events, -1)
    when = torch.where(torch.stack(is_coal, -1), when, math.inf)
    return when.sort(-1).values[..., : num_leaves - 1]


def _check_leaves(leaf_times: torch.Tensor) -> None:
    if leaf_times.dim() == 0 or leaf_times.shape[-1] < 2:
        raise ParameterError(
            "leaf_times must be vectors of at least two times", expected="(..., num_leaves)", got=leaf_times
        )


class _Coalescent(TorchDistribution):
    """Abstract: coalescence times, given when leaves are sampled.

    Implementing a coalescent: define `_clock`, an increasing function of time in which each pair of lineages meets at
    rate 1, with its logarithmic derivative, and `_unwind`, its inverse.
    """

    leaf_times: torch.Tensor

    @constraints.dependent_property(event_dim=1)
    def support(self) -> constraints.Constraint:
        """Increasing times at each of which there are two lineages to merge."""
        return CoalescentTimesConstraint(self.leaf_times)

    def _clock(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        raise NotImplementedError

    def _unwind(self, clock: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density of increasing coalescence times, (*sample_shape, *batch_shape)."""
        if self._validate_args:
            self._validate_sample(value)
        at_leaves, at_coals = _lineages(self.leaf_times, value)
        leaf_clock, _ = self._clock(self.leaf_times)
        coal_clock, log_rate = self._clock(value)
        exposure = _exposure(at_leaves, at_coals, leaf_clock, coal_clock)
        return (log_rate + _log_pairs(at_coals, coal_clock.dtype)).sum(-1) - exposure

    @torch.no_grad()
    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw increasing coalescence times, (*sample_shape, *batch_shape, num_leaves - 1)."""
        clock = self._clock(self.leaf_times)[0]
        clock = clock.expand(torch.Size(sample_shape) + self._batch_shape + clock.shape[-1:])
        return self._unwind(_sample_coalescent_times(clock))


class CoalescentTimes(_Coalescent):
    """Times at which sampled lineages coalesce, where each pair of them meets at a constant rate.

    Going back in time, with k(t) lineages at time t, the next coalescence has hazard rate k (k - 1) / 2. The log
    density of increasing times t_1, ..., t_(N-1) is
    sum_i log(rate k_i (k_i - 1) / 2) - rate * integral of k(t) (k(t) - 1) / 2 dt, k_i lineages just after t_i.
    The support is the set of increasing vectors with k_i >= 2 throughout.

    Args:
        leaf_times: when each individual is sampled, in any order, shape (*batch_shape, num_leaves), at least two.
        rate: rate at which a pair coalesces, the inverse of the effective population size times the generation time,
            positive, shape batch_shape.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: there are fewer than two leaves.

    Source: Kingman (1982), The coalescent; Rodrigo and Felsenstein (1999) for leaves sampled at different times.

    Example:
        >>> d = CoalescentTimes(torch.tensor([0.0, 0.0, 0.0]))
        >>> d.log_prob(torch.tensor([-1.5, -0.5]))  # log 3 - 3 * 0.5, then log 1 - 1 * 1
        tensor(-1.4014)
    """

    arg_constraints = {"leaf_times": constraints.independent(constraints.real, 1), "rate": constraints.positive}

    def __init__(
        self, leaf_times: torch.Tensor, rate: torch.Tensor | float = 1.0, *, validate_args: bool | None = None
    ) -> None:
        _check_leaves(leaf_times)
        self.rate = torch.as_tensor(rate, dtype=leaf_times.dtype, device=leaf_times.device)
        batch_shape = torch.Size(broadcast_shape(leaf_times.shape[:-1], self.rate.shape))
        self.leaf_times = leaf_times
        super().__init__(batch_shape, torch.Size((leaf_times.shape[-1] - 1,)), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, leaf_times: Sequence[int], rate: Sequence[int] = ()) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        batch = broadcast_shape(tuple(leaf_times)[:-1], tuple(rate))
        return torch.Size(batch), torch.Size((tuple(leaf_times)[-1] - 1,))

    def expand(self, batch_shape: Size, _instance: Any = None) -> CoalescentTimes:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        leaf_times = self.leaf_times.expand(torch.Size(batch_shape) + self.leaf_times.shape[-1:])
        CoalescentTimes.__init__(new, leaf_times, self.rate.expand(torch.Size(batch_shape)), validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _clock(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rate = self.rate.unsqueeze(-1)
        return rate * time, rate.log()

    def _unwind(self, clock: torch.Tensor) -> torch.Tensor:
        return clock / self.rate.unsqueeze(-1)


class CoalescentTimesWithRate(_Coalescent):
    """Times at which sampled lineages coalesce, where each pair of them meets at a rate that changes with time.

    The rate is constant over each unit of time: rate_grid[i] between i and i + 1, the first of them also before 0, the
    last also after the end. With k(t) lineages at time t the log density of increasing times t_1, ..., t_(N-1) is
    sum_i log(rate(t_i) k_i (k_i - 1) / 2) - integral of rate(t) k(t) (k(t) - 1) / 2 dt. The support is that of
    `CoalescentTimes`.

    Args:
        leaf_times: when each individual is sampled, in any order, shape (*batch_shape, num_leaves), at least two.
        rate_grid: rate at which a pair coalesces in each unit of time, positive, shape (*batch_shape, duration).
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: there are fewer than two leaves.

    Source: Griffiths and Tavare (1994), Sampling theory for neutral alleles in a varying environment.

    Example:
        >>> leaf_times, coal_times = torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0.5, 1.5])
        >>> grid = CoalescentTimesWithRate(leaf_times, torch.full((2,), 3.0)).log_prob(coal_times)
        >>> bool(torch.isclose(grid, CoalescentTimes(leaf_times, 3.0).log_prob(coal_times)))
        True
    """

    arg_constraints = {
        "leaf_times": constraints.independent(constraints.real, 1),
        "rate_grid": constraints.independent(constraints.positive, 1),
    }

    def __init__(self, leaf_times: torch.Tensor, rate_grid: torch.Tensor, *, validate_args: bool | None = None) -> None:
        _check_leaves(leaf_times)
        batch_shape = torch.Size(broadcast_shape(leaf_times.shape[:-1], rate_grid.shape[:-1]))
        self.leaf_times = leaf_times
        self.rate_grid = rate_grid
        super().__init__(batch_shape, torch.Size((leaf_times.shape[-1] - 1,)), validate_args=validate_args)

    @classmethod
    def infer_shapes(cls, leaf_times: Sequence[int], rate_grid: Sequence[int]) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        batch = broadcast_shape(tuple(leaf_times)[:-1], tuple(rate_grid)[:-1])
        return torch.Size(batch), torch.Size((tuple(leaf_times)[-1] - 1,))

    @property
    def duration(self) -> int:
        """How many units of time the rates are given for."""
        return self.rate_grid.shape[-1]

    def expand(self, batch_shape: Size, _instance: Any = None) -> CoalescentTimesWithRate:
        """Return the distribution with a larger batch shape."""
        new = self.__new__(type(self)) if _instance is None else _instance
        leaf_times = self.leaf_times.expand(torch.Size(batch_shape) + self.leaf_times.shape[-1:])
        rate_grid = self.rate_grid.expand(torch.Size(batch_shape) + self.rate_grid.shape[-1:])
        CoalescentTimesWithRate.__init__(new, leaf_times, rate_grid, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _clock_at_cells(self) -> torch.Tensor:
        """The clock at the beginning of each unit of time."""
        return self.rate_grid.cumsum(-1) - self.rate_grid

    def _clock(self, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        cell = time.detach().floor().clamp(0, self.duration - 1)
        index = cell.long()
        rate = gather(self.rate_grid, index, -1)
        return gather(self._clock_at_cells(), index, -1) + rate * (time - cell), rate.log()

    def _unwind(self, clock: torch.Tensor) -> torch.Tensor:
        starts = self._clock_at_cells()
        index = (clock.unsqueeze(-1) >= starts.unsqueeze(-2)).sum(-1).sub(1).clamp(min=0)
        return index.to(clock.dtype) + (clock - gather(starts, index, -1)) / gather(self.rate_grid, index, -1)


class CoalescentRateLikelihood:
    """The likelihood of rates, given a tree: `CoalescentTimesWithRate.log_prob` as a sum over units of time.

    Its terms depend on one rate each, so that a model of epidemics can use them step by step, or in a plate.

    Args:
        leaf_times: when each individual is sampled, shape (*batch_shape, num_leaves).
        coal_times: when lineages coalesce, shape (*batch_shape, num_leaves - 1).
        duration: how many units of time the rates are given for.
        validate_args: whether to check that the times fit together; None for the setting
            `validate_distributions_torch`.

    Raises:
        SupportError: the coalescence times are not possible.
        ShapeError: the numbers of leaves and of coalescences do not fit.

    Example:
        >>> leaf_times, coal_times = torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0.5, 1.5])
        >>> likelihood, rate = CoalescentRateLikelihood(leaf_times, coal_times, 2), torch.tensor([1.0, 3.0])
        >>> total = CoalescentTimesWithRate(leaf_times, rate).log_prob(coal_times)
        >>> bool(torch.isclose(likelihood(rate).sum(), total))
        True
        >>> bool(torch.isclose(likelihood(rate[0], 0), likelihood(rate)[0]))
        True
    """

    def __init__(
        self, leaf_times: torch.Tensor, coal_times: torch.Tensor, duration: int, *, validate_args: bool | None = None
    ) -> None:
        if leaf_times.shape[-1] != coal_times.shape[-1] + 1:
            raise ShapeError(
                "there must be one leaf more than coalescences",
                got=f"leaf_times {tuple(leaf_times.shape)}, coal_times {tuple(coal_times.shape)}",
            )
        if torch.distributions.Distribution._validate_args if validate_args is None else validate_args:
            CoalescentTimes(leaf_times, validate_args=True)._validate_sample(coal_times)
        at_leaves, at_coals = _lineages(leaf_times, coal_times)
        starts = torch.arange(duration, dtype=leaf_times.dtype, device=leaf_times.device)

        def within(times: torch.Tensor) -> torch.Tensor:
            """How far each time reaches into each unit, (..., duration, num_times); the outer units have no ends."""
            reach = times.unsqueeze(-2) - starts.unsqueeze(-1)
            inner_start, inner_end = (starts > 0).unsqueeze(-1), (starts < duration - 1).unsqueeze(-1)
            reach = torch.where(inner_start, reach.clamp(min=0), reach)
            return torch.where(inner_end, reach.clamp(max=1), reach)

        each = (at_leaves.unsqueeze(-2), at_coals.unsqueeze(-2), within(leaf_times), within(coal_times))
        self._exposure = _exposure(*each)
        cell = coal_times.floor().clamp(0, duration - 1).unsqueeze(-2)
        hits = (cell == starts.unsqueeze(-1)).to(leaf_times.dtype)
        self._count = hits.sum(-1)
        self._const = (hits * _log_pairs(at_coals, leaf_times.dtype).unsqueeze(-2)).sum(-1)

    def __call__(self, rate_grid: torch.Tensor, t: int | slice = slice(None)) -> torch.Tensor:
        """Return the log likelihood of the rates, unit by unit.

        Args:
            rate_grid: rates at which a pair coalesces, positive, shape (*sample_shape, *batch_shape, n) where `t` takes
                n units of time, without the last dimension where `t` is an integer.
            t: which units of time.

        Returns:
            The terms, of the shape of rate_grid; their sum over time is the log density of the coalescence times.
        """
        const, count, exposure = (each[..., t] for each in (self._const, self._count, self._exposure))
        return const + count * rate_grid.log() - exposure * rate_grid


def bio_phylo_to_times(
    tree: Any, *, get_time: Callable[[Any], float] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read leaf times and coalescence times from a phylogenetic tree of Biopython.

    Args:
        tree: a `Bio.Phylo.BaseTree.Tree`, or any object with a `root` whose descendants have `clades` and
            `branch_length`. A clade of k > 2 children counts as k - 1 coalescences at one time.
        get_time: a function from clade to time; None for the sum of the branch lengths from the root, whose own branch
            counts too.

    Returns:
        (leaf_times, coal_times), both increasing, (num_leaves,) and (num_leaves - 1,).

    Example:
        >>> from types import SimpleNamespace as Clade
        >>> leaves = [Clade(clades=[], branch_length=length) for length in (2.0, 1.0)]
        >>> bio_phylo_to_times(Clade(root=Clade(clades=leaves, branch_length=0.0)))
        (tensor([1., 2.]), tensor([0.]))
    """
    leaf_times: list[float] = []
    coal_times: list[float] = []
    pending = [(tree.root, 0.0)]
    while pending:
        clade, start = pending.pop()
        below = start + (clade.branch_length or 0.0)
        time = below if get_time is None else float(get_time(clade))
        if clade.clades:
            coal_times.extend([time] * (len(clade.clades) - 1))
            pending.extend((child, below) for child in clade.clades)
        else:
            leaf_times.append(time)
    return torch.tensor(sorted(leaf_times)), torch.tensor(sorted(coal_times))
