"""The target of a kernel's last run, kept for the next run while nothing that it was made of has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pyroxene.infer.arguments import Arguments
from pyroxene.infer.guards import Guards
from pyroxene.infer.mcmc.target import Target
from pyroxene.poutine.runtime import am_i_wrapped

__all__ = ["KeptTarget"]


@dataclass(frozen=True)
class _Made:
    """A target and what it was made of; final."""

    target: Target
    model: Callable[..., Any]
    options: Any
    arguments: Arguments
    guards: Guards


class KeptTarget:
    """At most one target; final.

    A second run with the same data then costs its draws alone: recording the model takes 3 to 20 ms, as much as a
    thousand draws of a small posterior. What the model reads besides its arguments is watched by `Guards`; models with
    parameters, runs under handlers, and arguments that hold numpy arrays are recorded each time.
    """

    def __init__(self) -> None:
        self._made: _Made | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_made": None}

    def get(
        self,
        model: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Any,
        make: Callable[[], Target],
    ) -> Target:
        """Return the target of a model and its arguments: the kept one, or a new one.

        Args:
            model: the model.
            args: its arguments.
            kwargs: its keyword arguments.
            options: what else a target depends on; equal options give equal targets.
            make: makes it.
        """
        options = (options, torch.get_default_dtype())
        arguments = Arguments(args, kwargs)
        made, self._made = self._made, None
        same = made is not None and made.model is model and made.options == options and _is_same(made, arguments)
        if made is None or not same or am_i_wrapped():
            target = make()
            if am_i_wrapped() or _has_parameters(target):
                return target
            guards = Guards(model, *arguments.objects(), strict=True)
            if not guards.is_complete:
                return target
            made = _Made(target, model, options, arguments, guards)
        self._made = made
        return made.target


def _is_same(made: _Made, arguments: Arguments) -> bool:
    same_data = made.arguments.structure == arguments.structure and not made.arguments.changed(arguments)
    return same_data and made.guards.hold()


def _has_parameters(target: Target) -> bool:
    assert target.log_density is not None, "the target is a model's"
    return any(site["type"] == "param" for site in target.log_density.structure.trace.nodes.values())
