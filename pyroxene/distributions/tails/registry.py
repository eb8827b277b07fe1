"""Distribution functions by class, in logs: a register for torch's classes, and the functions that look things up.

A class of ours that knows better defines the method itself; a class of torch's has a row, found through its bases.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributions as torchdist

from pyroxene.distributions.tails.solve import solve_quantile

__all__ = [
    "Tails",
    "cdf",
    "complete",
    "entropy",
    "icdf",
    "inverse",
    "log_cdf",
    "log_survival",
    "mode",
    "register_tails",
    "tails_of",
    "unchecked",
]

Function = Callable[[Any, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Tails:
    """What is known of the tails of a class of univariate distributions.

    Args:
        log_cdf: (distribution, value) to the log of the probability of no greater value, for any real value.
        log_survival: (distribution, value) to the log of the probability of a greater value.
        inverse: (distribution, log_cdf, log_survival) to the value with both, given as they are related, so that either
            tail is exact; None where it is to be solved for.
        mode: distribution to its mode, where torch has none.
        entropy: distribution to its entropy, where torch has none.
    """

    log_cdf: Function
    log_survival: Function
    inverse: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    mode: Callable[[Any], torch.Tensor] | None = None
    entropy: Callable[[Any], torch.Tensor] | None = None


_TAILS: dict[type, Tails] = {}


def register_tails(cls: type, tails: Tails) -> None:
    """Say what the tails of a class, and of its subclasses, are."""
    _TAILS[cls] = tails


def tails_of(d: Any) -> Tails:
    """Return what is known of a distribution's tails: the first row, or both methods of its own, among its bases.

    Raises:
        NotImplementedError: nothing is known.
    """
    for base in type(d).__mro__:
        if base in _TAILS:
            return _TAILS[base]
        own = vars(base).get("log_cdf")
        if own is not None and not getattr(own, "looks_up", False):
            other = getattr(type(d), "log_survival", None)
            if other is None or getattr(other, "looks_up", False):
                break
            return Tails(
                lambda d, value: unchecked(d).log_cdf(value),
                lambda d, value: unchecked(d).log_survival(value),
                getattr(type(d), "_inverse_cdf", None),
            )
    raise NotImplementedError(f"{type(d).__name__} has no distribution function")


def log_cdf(d: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the log of the probability of no greater value, finite as far into the tails as a float reaches.

    Args:
        d: a distribution of one number.
        value: any real, inside or outside of the support; it broadcasts with the batch shape.

    Returns:
        Shape of value and batch broadcast; -inf below the support, 0 above it.

    Raises:
        NotImplementedError: no distribution function is known for the class.

    Example:
        >>> from pyroxene.distributions import Normal
        >>> log_cdf(Normal(0.0, 1.0), torch.tensor(-100.0))
        tensor(-5005.5244)
    """
    return tails_of(d).log_cdf(d, value)


def log_survival(d: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the log of the probability of a greater value; see `log_cdf`.

    Example:
        >>> from pyroxene.distributions import Poisson
        >>> log_survival(Poisson(3.0), torch.tensor(500.0))
        tensor(-2070.1362)
    """
    return tails_of(d).log_survival(d, value)


def cdf(d: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the probability of no greater value; see `log_cdf`."""
    return log_cdf(d, value).exp()


def icdf(d: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the quantile of a probability: the smallest value with at least that cdf.

    Args:
        d: a distribution of one number.
        value: probabilities in [0, 1].

    Returns:
        The quantile; gradients reach the probability and, for a continuous distribution, the parameters.

    Example:
        >>> from pyroxene.distributions import Gamma
        >>> icdf(Gamma(1.0, 2.0), torch.tensor(0.5))
        tensor(0.3466)
    """
    return inverse(d, value.log(), torch.log1p(-value))


def inverse(d: Any, log_cdf: torch.Tensor, log_survival: torch.Tensor) -> torch.Tensor:
    """Return the value of which log cdf and log survival are given, exact in both tails.

    Args:
        d: a distribution of one number.
        log_cdf: log of a probability.
        log_survival: log of its complement.
    """
    tails = tails_of(d)
    log_cdf, log_survival = torch.broadcast_tensors(log_cdf, log_survival)
    with torch.no_grad():
        found = (
            solve_quantile(d, tails.log_cdf, tails.log_survival, log_cdf, log_survival)
            if tails.inverse is None
            else tails.inverse(d, log_cdf, log_survival)
        )
    if not torch.is_grad_enabled() or d.support.is_discrete:
        return found
    return _with_gradient(d, tails, found, log_cdf, log_survival)


def _with_gradient(
    d: Any, tails: Tails, found: torch.Tensor, log_cdf: torch.Tensor, log_survival: torch.Tensor
) -> torch.Tensor:
    """Attach the first-order gradient of an implicit function: F(x; parameters) = p gives dx = (dp - dF) / density."""
    value = found.detach()
    lower = tails.log_cdf(d, value)
    excess = torch.where(log_cdf < log_survival, lower - log_cdf, log_survival - tails.log_survival(d, value))
    if not excess.requires_grad:
        return found
    with torch.no_grad():
        log_density = unchecked(d).log_prob(value)
        slope = torch.exp(torch.minimum(log_cdf, log_survival) - log_density)
        usable = slope.isfinite() & value.isfinite() & excess.isfinite()
    excess = torch.where(usable, excess, 0.0)
    return value - torch.where(usable, slope, 0.0) * (excess - excess.detach())


def unchecked(d: Any) -> Any:
    """Return a shallow copy of a distribution that does not check values: any number may be asked about."""
    twin = copy.copy(d)
    twin._validate_args = False
    return twin


def mode(d: Any) -> torch.Tensor:
    """Return the value of greatest density.

    Raises:
        NotImplementedError: it is not known for the class.
    """
    return _known(d, "mode")


def entropy(d: Any) -> torch.Tensor:
    """Return the entropy, in nats.

    Raises:
        NotImplementedError: it is not known for the class.
    """
    return _known(d, "entropy")


def _known(d: Any, what: str) -> torch.Tensor:
    function: Callable[[Any], torch.Tensor] | None = getattr(tails_of(d), what)
    if function is None:
        raise NotImplementedError(f"{type(d).__name__} has no {what} in closed form")
    return function(d)


def _log_cdf_method(self: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the log of the probability of no greater value, finite in the tails."""
    return log_cdf(self, value)


def _log_survival_method(self: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the log of the probability of a greater value, finite in the tails."""
    return log_survival(self, value)


def _cdf_method(self: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the probability of no greater value."""
    return self.log_cdf(value).exp()


def _icdf_method(self: Any, value: torch.Tensor) -> torch.Tensor:
    """Return the smallest value with at least this cdf."""
    return icdf(self, value)


def _entropy_method(self: Any) -> torch.Tensor:
    """Return the entropy, in nats."""
    return entropy(self)


for _method in (_log_cdf_method, _log_survival_method):
    _method.looks_up = True  # type: ignore[attr-defined]
_MODE = property(mode, doc="The value of greatest density, shape batch_shape.")
_METHODS: dict[str, Any] = {
    "log_cdf": _log_cdf_method,
    "log_survival": _log_survival_method,
    "cdf": _cdf_method,
    "icdf": _icdf_method,
    "entropy": _entropy_method,
    "mode": _MODE,
}


def complete(cls: type) -> None:
    """Give a class of distributions the methods that it lacks: log_cdf, log_survival, cdf, icdf, mode, entropy.

    A method is lacking where it is torch's base class's, which raises, or none. Those given look the class up here when
    they are called, and raise NotImplementedError for a class that has no row.
    """
    for name, method in _METHODS.items():
        present = getattr(cls, name, None)
        if present is None or present is getattr(torchdist.Distribution, name, None):
            setattr(cls, name, method)
