"""What a user says about a parameter's optimisation: options by name, checked, and the clipping of its gradient."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from pyroxene.errors import OptionError
from pyroxene.params import module_from_param_with_module_name, normalize_param_name, user_param_name

__all__ = ["Clip", "ByName", "check_options", "equal", "make_clip"]


class ByName:
    """Options for each parameter name, from a dict or from a function of the name; final.

    Args:
        given: a dict that holds for every parameter, a function `f(param_name)` that returns one, or, deprecated,
            a function `f(module_name, param_name)`.
        what: what the options are called in messages, "optim_args" or "clip_args".

    Raises:
        OptionError: `given` is neither a dict nor callable.
    """

    def __init__(self, given: Any, what: str) -> None:
        if not callable(given) and not isinstance(given, Mapping):
            raise OptionError(
                f"{what} must be a dict, or a function that returns one",
                expected="a dict or a callable f(param_name) -> dict",
                got=given,
            )
        self.given = given
        self.what = what
        self._takes_module = callable(given) and _required_arguments(given) == 2

    def __call__(self, name: str) -> Mapping[str, Any]:
        """Return the options of the parameter that the store calls `name`."""
        if not callable(self.given):
            return self.given
        if self._takes_module:
            found = self.given(module_from_param_with_module_name(name), user_param_name(name))
        else:
            found = self.given(normalize_param_name(name))
        if not isinstance(found, Mapping):
            raise OptionError(f"{self.what} must return a dict", site=name, expected="a dict of options", got=found)
        return found


def _required_arguments(function: Callable[..., Any]) -> int:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is p.empty for p in parameters)


def check_options(constructor: Callable[..., Any], options: Mapping[str, Any], supplied: str) -> None:
    """Compare options with the signature of the constructor that will get them.

    Args:
        constructor: an optimiser or scheduler.
        options: keyword arguments for it.
        supplied: the parameter that pyroxene itself fills, "params" or "optimizer".

    Raises:
        OptionError: an option is unknown, or one without a default is missing; the message lists them all.
    """
    try:
        parameters = inspect.signature(constructor).parameters
    except (TypeError, ValueError):  # a constructor written in C: it checks for itself
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    filled = supplied if supplied in parameters else next(iter(parameters), supplied)
    known = {name: p for name, p in parameters.items() if name != filled and p.kind is not p.VAR_POSITIONAL}
    unknown = [name for name in options if name not in known]
    missing = [name for name, p in known.items() if p.default is p.empty and name not in options]
    if unknown or missing:
        name = getattr(constructor, "__name__", repr(constructor))
        problem = f"has no option {', '.join(unknown)}" if unknown else f"needs the option {', '.join(missing)}"
        raise OptionError(f"{name} {problem}", expected=f"among {', '.join(known)}", got=", ".join(options) or "none")


def equal(one: Any, other: Any) -> bool:
    """Say whether two options are certainly the same; tensors are so only where they are one object."""
    if one is other:
        return True
    if type(one) is not type(other) or isinstance(one, torch.Tensor):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    try:
        return bool(one == other)
    except (ValueError, RuntimeError, TypeError):  # arrays, whose comparison has no single truth value
        return False


@dataclass(frozen=True)
class Clip:
    """How gradients are clipped, each parameter's by itself; final.

    Args:
        norm: the largest Euclidean norm of a parameter's gradient, or None.
        value: the largest magnitude of an entry, or None; applied after the norm.
    """

    norm: float | None = None
    value: float | None = None

    @torch.no_grad()
    def __call__(self, params: list[torch.Tensor]) -> None:
        """Replace the gradients of parameters that share one dtype and device by clipped ones."""
        owners = [p for p in params if p.grad is not None]
        grads: list[torch.Tensor] = [p.grad for p in owners]  # type: ignore[misc]
        if not grads:
            return
        if self.norm is not None:
            # What torch.nn.utils.clip_grad_norm_ does to one tensor, for all of them at once.
            norms = torch.stack(torch._foreach_norm(grads))
            shrink = (self.norm / (norms + 1e-6)).clamp_(max=1.0)
            grads = list(torch._foreach_mul(grads, list(shrink.unbind())))
        if self.value is not None:
            grads = list(torch._foreach_clamp_min(grads, -self.value))
            torch._foreach_clamp_max_(grads, self.value)
        # Not in place: a gradient may be an expanded tensor, whose entries share memory.
        for param, grad in zip(owners, grads):
            param.grad = grad


def make_clip(options: Mapping[str, Any]) -> Clip | None:
    """Return the clipping that `clip_args` describe; None where they ask for none.

    Args:
        options: keys `clip_norm` and `clip_value`, a positive number or None each.

    Raises:
        OptionError: there is another key.
    """
    unknown = [key for key in options if key not in ("clip_norm", "clip_value")]
    if unknown:
        raise OptionError(
            f"clip_args have no option {', '.join(map(str, unknown))}",
            expected="clip_norm, clip_value",
            got=", ".join(map(str, options)),
        )
    clip = Clip(options.get("clip_norm"), options.get("clip_value"))
    return None if clip == Clip() else clip
