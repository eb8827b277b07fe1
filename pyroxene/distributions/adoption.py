"""Torch distributions inside ours: `base_dist` is one of ours too, so that it can be expanded, masked and sampled from.

Torch's constructors make bases of torch's classes (LogNormal's is a torch Normal). A program that takes a distribution
apart, as reparameterisation does, would find an object without our methods there.
"""

from __future__ import annotations

from typing import Any

__all__ = ["AdoptsBase", "adopt", "declare"]

_OURS: dict[type, type] = {}
"""Our class for each class of torch's; filled as our classes are defined."""


def declare(ours: type) -> None:
    """Note that a class of ours stands for the torch class of the same name that it inherits from first."""
    torchs = ours.__bases__[0]
    if torchs.__module__.startswith("torch.distributions.") and torchs.__name__ == ours.__name__:
        _OURS.setdefault(torchs, ours)


def adopt(distribution: Any) -> Any:
    """Return the distribution itself or, where it is of a class of torch's, a shallow copy of our class.

    Example:
        >>> import torch.distributions, pyroxene.distributions
        >>> type(adopt(torch.distributions.Normal(0.0, 1.0))) is pyroxene.distributions.Normal
        True
    """
    ours = _OURS.get(type(distribution))
    if ours is None:
        return distribution
    adopted: Any = object.__new__(ours)
    adopted.__dict__.update(distribution.__dict__)
    if "base_dist" in adopted.__dict__:
        adopted.__dict__["base_dist"] = adopt(adopted.__dict__["base_dist"])
    return adopted


class AdoptsBase:
    """Abstract: a distribution that adopts whatever is set as its `base_dist`."""

    @property
    def base_dist(self) -> Any:
        """The distribution that this one is made of."""
        return self.__dict__["base_dist"]

    @base_dist.setter
    def base_dist(self, distribution: Any) -> None:
        self.__dict__["base_dist"] = adopt(distribution)
