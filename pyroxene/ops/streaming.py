"""Statistics that take draws one at a time, keep no draws, and merge with those of other chains."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import torch

__all__ = ["CountMeanStats", "CountMeanVarianceStats", "CountStats", "StackStats", "StatsOfDict", "StreamingStats"]


class StreamingStats(ABC):
    """A statistic of a stream of samples; abstract.

    Implementing a statistic:

    - `update` takes in one sample and changes the object;
    - `merge` returns a new object, as if one had seen both streams, and changes neither;
    - `get` returns the statistic so far, a dict for most; the object may go on.
    """

    @abstractmethod
    def update(self, sample: Any) -> None:
        """Take in one sample.

        Args:
            sample: a tensor, or a dict of them; its structure and shapes do not change from one to the next.
        """

    @abstractmethod
    def merge(self, other: Any) -> StreamingStats:
        """Return the statistic of both streams.

        Args:
            other: a statistic of the same class.
        """

    @abstractmethod
    def get(self) -> Any:
        """Return the statistic so far."""


class CountStats(StreamingStats):
    """How many samples there were; final.

    Example:
        >>> stats = CountStats()
        >>> stats.update(torch.zeros(3))
        >>> stats.get()
        {'count': 1}
    """

    def __init__(self) -> None:
        self.count = 0

    def update(self, sample: Any) -> None:
        self.count += 1

    def merge(self, other: CountStats) -> CountStats:
        result = CountStats()
        result.count = self.count + other.count
        return result

    def get(self) -> dict[str, int]:
        return {"count": self.count}


class StatsOfDict(StreamingStats):
    """Statistics of dicts, one statistic for each key; final.

    Args:
        types: by key, what makes the statistic of its values.
        default: what makes it for the other keys.

    Example:
        >>> stats = StatsOfDict(default=CountMeanStats)
        >>> stats.update({"a": torch.tensor(1.0)})
        >>> stats.update({"a": torch.tensor(3.0)})
        >>> stats.get()
        {'a': {'count': 2, 'mean': tensor(2.)}}
    """

    def __init__(
        self,
        types: Mapping[Hashable, Callable[[], StreamingStats]] = {},
        default: Callable[[], StreamingStats] = CountStats,
    ) -> None:
        self.default = default
        self.stats: dict[Hashable, StreamingStats] = {key: make() for key, make in types.items()}

    def update(self, sample: Mapping[Any, Any]) -> None:
        for key, value in sample.items():
            if key not in self.stats:
                self.stats[key] = self.default()
            self.stats[key].update(value)

    def merge(self, other: StatsOfDict) -> StatsOfDict:
        result = StatsOfDict(default=self.default)
        for key in {**self.stats, **other.stats}:
            if key in self.stats and key in other.stats:
                result.stats[key] = self.stats[key].merge(other.stats[key])
            else:
                result.stats[key] = copy.deepcopy((self.stats if key in self.stats else other.stats)[key])
        return result

    def get(self) -> dict[Hashable, Any]:
        return {key: stats.get() for key, stats in self.stats.items()}


class StackStats(StreamingStats):
    """All the samples, stacked; final: it keeps what the other statistics save."""

    def __init__(self) -> None:
        self.samples: list[torch.Tensor] = []

    def update(self, sample: torch.Tensor) -> None:
        self.samples.append(sample)

    def merge(self, other: StackStats) -> StackStats:
        result = StackStats()
        result.samples = self.samples + other.samples
        return result

    def get(self) -> dict[str, Any]:
        if not self.samples:
            return {"count": 0}
        return {"count": len(self.samples), "samples": torch.stack(self.samples)}


class CountMeanStats(StreamingStats):
    """How many samples there were, and their mean; final."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: torch.Tensor | None = None

    def update(self, sample: torch.Tensor) -> None:
        self.count += 1
        sample = sample.detach()
        self.mean = sample.clone() if self.mean is None else self.mean + (sample - self.mean) / self.count

    def merge(self, other: CountMeanStats) -> CountMeanStats:
        result = CountMeanStats()
        result.count = self.count + other.count
        if self.mean is None or other.mean is None:
            result.mean = other.mean if self.mean is None else self.mean
        else:
            result.mean = self.mean + (other.mean - self.mean) * (other.count / result.count)
        return result

    def get(self) -> dict[str, Any]:
        return {"count": 0} if self.mean is None else {"count": self.count, "mean": self.mean}


class CountMeanVarianceStats(StreamingStats):
    """How many samples there were, their mean and their variance, with n - 1 below it; final.

    Source: Welford 1962, Note on a method for calculating corrected sums of squares and products; the merge from
        Chan, Golub and LeVeque 1979, Updating formulae and a pairwise algorithm, equation 2.1.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: torch.Tensor | None = None
        self.squares: torch.Tensor | None = None

    def update(self, sample: torch.Tensor) -> None:
        sample = sample.detach()
        self.count += 1
        if self.mean is None or self.squares is None:
            self.mean, self.squares = sample.clone(), torch.zeros_like(sample)
            return
        before = sample - self.mean
        self.mean = self.mean + before / self.count
        self.squares = self.squares + before * (sample - self.mean)

    def merge(self, other: CountMeanVarianceStats) -> CountMeanVarianceStats:
        if other.mean is None or other.squares is None:
            return copy.copy(self)
        if self.mean is None or self.squares is None:
            return copy.copy(other)
        result = CountMeanVarianceStats()
        result.count = self.count + other.count
        gap = other.mean - self.mean
        result.mean = self.mean + gap * (other.count / result.count)
        result.squares = self.squares + other.squares + gap.square() * (self.count * other.count / result.count)
        return result

    def get(self) -> dict[str, Any]:
        """Return count, mean and variance; the variance of one sample is nan."""
        if self.mean is None or self.squares is None:
            return {"count": 0}
        variance = self.squares / (self.count - 1) if self.count > 1 else torch.full_like(self.squares, torch.nan)
        return {"count": self.count, "mean": self.mean, "variance": variance}
