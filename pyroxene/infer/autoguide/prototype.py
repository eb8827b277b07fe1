"""What a guide keeps of its model: the model, out of torch's sight; its first run; the plates of its sites."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import pyroxene.distributions as dist
from pyroxene._typing import Model
from pyroxene.density import Structure, trace_structure
from pyroxene.errors import PlateError
from pyroxene.infer.autoguide.utils import is_subsampled
from pyroxene.poutine.runtime import new_message, shared_subsamples
from pyroxene.poutine.trace_struct import Trace

__all__ = ["HiddenModel", "check_plates", "entered", "portable", "structure_of"]

_NOTHING = nullcontext()


class HiddenModel:
    """Holds a model out of torch's sight: its parameters are not the guide's. Final.

    A model that cannot be pickled, such as a lambda, stays behind when its guide is pickled.
    """

    def __init__(self, model: Model | None) -> None:
        self.model = model

    def __deepcopy__(self, memo: dict[int, Any]) -> HiddenModel:
        return HiddenModel(copy.deepcopy(self.model, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        try:
            pickle.dumps(self.model)
        except (pickle.PicklingError, AttributeError, TypeError, RuntimeError):
            return HiddenModel, (None,)
        return HiddenModel, (self.model,)


def structure_of(model: Model, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Structure:
    """Run a model once and return its structure.

    Its `subsampled` is read off the step's indices, not the sites: a `poutine.block` in the model hides a plate's site.
    """
    drawn: list[str] = []

    def run() -> None:
        model(*args, **kwargs)
        drawn.extend(shared_subsamples() or ())

    return replace(trace_structure(run), subsampled=tuple(drawn))


def portable(prototype: Trace) -> Trace:
    """Return what a guide needs of its prototype in a copy: latent sites without data, graphs or distributions."""
    portable = Trace()
    for name, site in prototype.iter_stochastic_nodes():
        value = site["value"].detach()
        fn = dist.Delta(value, event_dim=site["fn"].event_dim, validate_args=False)
        copied = {**new_message("sample", name, fn, value=value), "cond_indep_stack": site["cond_indep_stack"]}
        portable.add_node(name, **copied)
    return portable


def check_plates(guide: str, structure: Structure, plates_are_given: bool) -> None:
    """Refuse latent sites in a plate whose indices the guide cannot know.

    Args:
        guide: the guide's class, for the message.
        structure: of the model.
        plates_are_given: whether the user makes the plates by `create_plates`.

    Raises:
        PlateError: names the site, the plate and what to do.
    """
    for name, site in structure.latent_sites.items():
        for frame in filter(is_subsampled, site["cond_indep_stack"]):
            if not frame.vectorized:
                what, hint = "subsamples as a loop", f"with pyroxene.plate({frame.name!r}, ...) as indices"
            elif frame.name not in structure.subsampled and not plates_are_given:
                what = "takes its indices from the model's arguments"
                hint = f"create_plates=lambda *args: pyroxene.plate({frame.name!r}, {frame.full_size}, subsample=...)"
            else:
                continue
            raise PlateError(
                f"{guide} cannot guide site '{name}': plate '{frame.name}' {what}",
                site=name,
                plate=frame.name,
                source=site.get("source"),
                expected="a plate that draws the same indices in model and guide",
                got=f"{frame.size} of {frame.full_size}",
                hint=hint,
            )


def entered(plates: list[AbstractContextManager[Any]]) -> AbstractContextManager[Any]:
    """Return a context in which plates are entered; most sites are in one plate or in none."""
    if len(plates) > 1:
        return _all_entered(plates)
    return plates[0] if plates else _NOTHING


@contextmanager
def _all_entered(plates: list[AbstractContextManager[Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in plates:
            stack.enter_context(each)
        yield
