"""Every switch of the package on one page: its default, its check, its meaning.

A switch either lives here (`Switch.value`) or stands for an attribute of a module (`module`, `attribute`), as users'
own switches do. Hot paths read `validating()` and `value_of` rather than `get`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pyroxene.errors import UsageError

__all__ = ["context", "get", "register", "set", "value_of"]


@dataclass
class Switch:
    """One switch; final."""

    meaning: str
    value: Any = None
    check: Callable[[Any], None] | None = None
    module: str | None = None
    attribute: str = ""


def _boolean(value: Any) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"expected True or False, got {value!r}")


def _not_negative(value: Any) -> None:
    if not isinstance(value, (int, float)) or not 0 <= value:
        raise ValueError(f"expected a number >= 0, got {value!r}")


def _svi_engine(value: Any) -> None:
    if value not in ("auto", "native", "inductor", "eager"):
        raise ValueError(f"expected 'auto', 'native', 'inductor' or 'eager', got {value!r}")


_SWITCHES: dict[str, Switch] = {
    "validate_poutine": Switch("check names and traces as a program runs", __debug__, _boolean),
    "validate_infer": Switch("check shapes, values and that model and guide fit", __debug__, _boolean),
    "validate_distributions_pyro": Switch(
        "check arguments and values of pyroxene's own distributions", __debug__, _boolean
    ),
    "validate_distributions_torch": Switch(
        "check arguments and values of torch's distributions",
        check=_boolean,
        module="torch.distributions.distribution",
        attribute="Distribution._validate_args",
    ),
    "module_local_params": Switch(
        "keep parameters in their PyroModules, not in the global parameter store", False, _boolean
    ),
    "binomial_approx_sample_thresh": Switch(
        "total_count above which Binomial.sample draws from a Poisson or normal approximation",
        float("inf"),
        _not_negative,
    ),
    "binomial_approx_log_prob_tol": Switch(
        "tolerance of the Stirling approximation in Binomial.log_prob; 0 is exact", 0.0, _not_negative
    ),
    "cholesky_relative_jitter": Switch(
        "jitter of safe_cholesky, in units of machine epsilon times the largest diagonal entry", 4.0, _not_negative
    ),
    "svi_engine": Switch(
        "where SVI steps run: 'native' takes machine code where it can; 'inductor' takes torch.compile; 'eager' stays "
        "on PyTorch; 'auto' takes machine code, but for single steps whose random numbers would not be torch's (gamma, "
        "beta, Dirichlet guides), and tries the others by what steps cost where there are networks or no machine code",
        "auto",
        _svi_engine,
    ),
    "native_cache_megabytes": Switch(
        "how much disk compiled models may take; the longest unused are removed beyond it", 500, _not_negative
    ),
}


def value_of(alias: str) -> Any:
    """Return the value of a switch that lives here; one dictionary look-up."""
    return _SWITCHES[alias].value


def _find(alias: str) -> Switch:
    try:
        return _SWITCHES[alias]
    except KeyError:
        raise UsageError(
            f"unknown setting {alias!r}",
            expected=f"one of {', '.join(sorted(_SWITCHES))}",
            got=alias,
            hint="pyroxene.settings.get() lists them with their values",
        ) from None


def _read(switch: Switch) -> Any:
    if switch.module is None:
        return switch.value
    return functools.reduce(getattr, switch.attribute.split("."), importlib.import_module(switch.module))


def _write(switch: Switch, value: Any) -> None:
    if switch.check is not None:
        switch.check(value)
    if switch.module is None:
        switch.value = value
        return
    owner, _, leaf = switch.attribute.rpartition(".")
    module: Any = importlib.import_module(switch.module)
    setattr(operator.attrgetter(owner)(module) if owner else module, leaf, value)


def get(alias: str | None = None) -> Any:
    """Return the value of one switch, or all of them as a dict.

    Example:
        >>> get("module_local_params")
        False
        >>> "validate_infer" in get()
        True
    """
    if alias is None:
        return {name: _read(switch) for name, switch in sorted(_SWITCHES.items())}
    return _read(_find(alias))


def set(**values: Any) -> None:
    """Set switches by name, after checking each.

    Raises:
        UsageError: no such switch; the message lists them all.
        TypeError, ValueError: the value does not pass the switch's check.
    """
    for alias, value in values.items():
        _write(_find(alias), value)


@contextlib.contextmanager
def context(**values: Any) -> Iterator[None]:
    """Set switches inside a `with` block and restore them after it.

    Example:
        >>> with context(module_local_params=True):
        ...     get("module_local_params")
        True
        >>> get("module_local_params")
        False
    """
    before = {alias: get(alias) for alias in values}
    try:
        set(**values)
        yield
    finally:
        set(**before)


def register(alias: str, modulename: str, deepname: str, validator: Callable[[Any], None] | None = None) -> Any:
    """Make an attribute of a module a switch under a short name.

    Args:
        alias: the switch's name.
        modulename: the module that holds the attribute.
        deepname: the attribute inside the module, dotted: "CONSTANT" or "Class.attribute".
        validator: raises where a new value is wrong; it may also be given by decorating it:
            `@register("alias", "module", "NAME")`.

    Returns:
        None, or a decorator where no validator is given.
    """
    _SWITCHES[alias] = Switch(f"{modulename}.{deepname}", check=validator, module=modulename, attribute=deepname)
    if validator is not None:
        return None

    def decorate(check: Callable[[Any], None]) -> Callable[[Any], None]:
        _SWITCHES[alias].check = check
        return check

    return decorate
