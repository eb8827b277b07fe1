"""PyroOptim: torch optimisers keyed by parameter, for parameters that may appear at any time."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from pyroxene.errors import DataError, OptionError, UsageError
from pyroxene.optim.adagrad_rmsprop import AdagradRMSProp as _AdagradRMSProp
from pyroxene.optim.clipped_adam import ClippedAdam as _ClippedAdam
from pyroxene.optim.cohort import Cohort, Recipe, State, check_state
from pyroxene.optim.dct_adam import DCTAdam as _DCTAdam
from pyroxene.optim.options import ByName, check_options, equal, make_clip
from pyroxene.params import get_param_store

__all__ = ["AdagradRMSProp", "ClippedAdam", "DCTAdam", "PyroOptim", "is_scheduler"]

_RUNTIME = ("_active", "_cohorts", "_last", "_names", "_options", "_clips")


def is_scheduler(optimizer: object) -> bool:
    """Say whether an object is one of torch's learning rate schedulers, rather than an optimiser."""
    return isinstance(optimizer, LRScheduler)


class PyroOptim:
    """A torch optimiser for parameters that appear as a program runs, each with a state of its own.

    A call steps the parameters that it is given, and no others. Parameters that first appear in one call with equal
    options share one torch optimiser; the numbers are those of separate optimisers.

    Args:
        optim_constructor: a class of torch optimiser, or a function of (params, **options) that makes one.
        optim_args: the optimiser's options: a dict, or a function of the parameter's name that returns a dict.
            (A function of (module name, parameter's name in the module) is deprecated.)
        clip_args: a dict with `clip_norm` (the largest Euclidean norm of a parameter's gradient) and `clip_value`
            (the largest magnitude of an entry), either or both; or a function of the name that returns it.

    Raises:
        OptionError: an option is unknown or missing, or is given neither as dict nor as function.

    Example:
        >>> x = torch.zeros(2, requires_grad=True)
        >>> optimizer = PyroOptim(torch.optim.SGD, {"lr": 0.1}, {"clip_value": 1.0})
        >>> (x * torch.tensor([0.5, 20.0])).sum().backward()
        >>> optimizer([x])
        >>> x
        tensor([-0.0500, -0.1000], requires_grad=True)
    """

    def __init__(
        self,
        optim_constructor: Callable[..., Optimizer],
        optim_args: Mapping[str, Any] | Callable[..., Mapping[str, Any]],
        clip_args: Mapping[str, Any] | Callable[..., Mapping[str, Any]] | None = None,
    ) -> None:
        if not callable(optim_constructor):
            raise OptionError(
                "an optimiser's constructor is needed",
                expected="a class such as torch.optim.Adam",
                got=optim_constructor,
            )
        self.pt_optim_constructor = optim_constructor
        self.pt_optim_args = optim_args
        self.pt_clip_args = {} if clip_args is None else clip_args
        self._waiting: dict[str, State] = {}
        self._shared = True
        self._reset()
        if not callable(optim_args):
            check_options(optim_constructor, optim_args, "params")
        if not callable(self.pt_clip_args):
            make_clip(self.pt_clip_args)

    def _reset(self) -> None:
        """Set what does not survive pickling."""
        self._options = ByName(self.pt_optim_args, "optim_args")
        self._clips = ByName(self.pt_clip_args, "clip_args")
        self._cohorts: dict[torch.Tensor, Cohort] = {}
        self._names: dict[torch.Tensor, str] = {}
        self._forget_last()

    def _forget_last(self) -> None:
        self._last: list[int] = []
        self._active: list[Cohort] = []

    def __call__(self, params: Iterable[torch.Tensor], *args: Any, **kwargs: Any) -> None:
        """Step the given parameters, each with its gradient `.grad`; one without a gradient stays where it is.

        Args:
            params: unconstrained leaf tensors.
            args: passed to the torch optimiser's `step`.
            kwargs: passed to it by name.

        Raises:
            UsageError: something is no leaf tensor: it was computed from others, or is a constrained value.
        """
        tensors = [params] if isinstance(params, torch.Tensor) else list(params)
        last = [id(tensor) for tensor in tensors]
        if last != self._last:
            self._arrange(tensors)
            self._last = last
        for cohort in self._active:
            cohort.step(*args, **kwargs)

    # cohorts ---------------------------------------------------------------------------------------------------------

    def _arrange(self, tensors: list[torch.Tensor]) -> None:
        """Make the active cohorts hold exactly these tensors: split what is passed in part, form what is new."""
        self._forget_last()
        for tensor in tensors:
            _check_leaf(tensor)
        wanted = dict.fromkeys(tensors)
        known = [tensor for tensor in wanted if tensor in self._cohorts]
        for cohort in self._distinct(known):
            inside = [tensor for tensor in cohort.params if tensor in wanted]
            if len(inside) < len(cohort.params):
                self._split(cohort, [inside, [tensor for tensor in cohort.params if tensor not in wanted]])
        self._form([tensor for tensor in wanted if tensor not in self._cohorts])
        self._active = self._distinct(wanted)

    def _distinct(self, tensors: Iterable[torch.Tensor]) -> list[Cohort]:
        return list({id(cohort): cohort for cohort in map(self._cohorts.__getitem__, tensors)}.values())

    def _split(self, cohort: Cohort, parts: list[list[torch.Tensor]]) -> None:
        for part in parts:
            self._cohorts.update(dict.fromkeys(part, cohort.subset(part)))

    def _form(self, fresh: list[torch.Tensor]) -> None:
        """Group new tensors by all that a torch optimiser would share, and make an optimiser for each group."""
        groups: list[tuple[tuple[Any, ...], Recipe, list[torch.Tensor], list[State] | None]] = []
        names = self._names_of(fresh)
        for tensor, name in names.items():
            recipe, state = self._recipe(name), self._waiting.get(name)
            kind = (tensor.dtype, tensor.device, None if state is None else _shared_part(state))
            for known, same, members, states in groups:
                if recipe.agrees(same) and equal(kind, known):
                    members.append(tensor)
                    if states is not None and state is not None:
                        states.append(state)
                    break
            else:
                groups.append((kind, recipe, [tensor], None if state is None else [state]))
        made = [Cohort(members, recipe, states) for _, recipe, members, states in groups]
        for cohort in made:  # only now, so that an error above leaves everything as it was
            self._cohorts.update(dict.fromkeys(cohort.params, cohort))
        for tensor, name in names.items():
            self._names[tensor] = name
            self._waiting.pop(name, None)

    def _names_of(self, tensors: Iterable[torch.Tensor]) -> dict[torch.Tensor, str]:
        """Name tensors as the parameter store does, and those it does not hold in order of appearance."""
        store = get_param_store()
        names: dict[torch.Tensor, str] = {}
        unnamed = sum(name.startswith("unnamed.") for name in self._names.values())
        for tensor in tensors:
            name = store.param_name(tensor) or self._names.get(tensor)
            if name is None:
                name = f"unnamed.{unnamed}"
                unnamed += 1
            names[tensor] = name
        return names

    def _recipe(self, name: str) -> Recipe:
        options = self._options(name)
        if callable(self.pt_optim_args):
            check_options(self.pt_optim_constructor, options, "params")
        clip = make_clip(self._clips(name))
        return Recipe(self.pt_optim_constructor, options, clip, self._schedule(), self._shared)

    def _schedule(self) -> Callable[[Optimizer], Any] | None:
        """Return what makes a scheduler from an optimiser; an optimiser alone has none."""
        return None

    @property
    def optim_objs(self) -> dict[torch.Tensor, Any]:
        """The torch optimiser, or scheduler, of each parameter that was stepped.

        From the first look on, each parameter has one of its own, so that a change to one (a learning rate, say)
        holds for one parameter, and a loop over all changes each once. Steps are slower from then on.
        """
        if self._shared:
            self._shared = False
            for cohort in self._distinct(self._cohorts):
                if len(cohort.params) > 1:
                    self._split(cohort, [[tensor] for tensor in cohort.params])
            self._forget_last()
        return {t: c.optimizer if c.scheduler is None else c.scheduler for t, c in self._cohorts.items()}

    # states ----------------------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, State]:
        """Return a copy of each parameter's state, by the name that the parameter store has for it.

        A parameter outside the store is called "unnamed.0", "unnamed.1", ... in the order of appearance.
        """
        states: dict[str, State] = {}
        names = self._names_of(self._cohorts)
        for cohort in self._distinct(self._cohorts):
            # A parameter that was made anew after the store was cleared comes after its namesake, and wins.
            states.update(zip((names[tensor] for tensor in cohort.params), cohort.export()))
        return {**states, **copy.deepcopy(self._waiting)}

    def set_state(self, state_dict: Mapping[str, State]) -> None:
        """Set the states of parameters by name, at the next call that steps them.

        Args:
            state_dict: what `get_state` returned, here or in Pyro; a name that is never stepped waits for ever.

        Raises:
            DataError: the state is of another format.
        """
        if not isinstance(state_dict, Mapping):
            raise DataError("this is no optimiser's state", expected="a dict by parameter name", got=state_dict)
        for name, state in state_dict.items():
            check_state(name, state, self._schedule() is not None)
        names = self._names_of(self._cohorts)
        given = dict.fromkeys(t for t in self._cohorts if names[t] in state_dict or self._names[t] in state_dict)
        for cohort in self._distinct(given):
            rest = [tensor for tensor in cohort.params if tensor not in given]
            if rest:
                self._split(cohort, [rest])
        for tensor in given:
            del self._cohorts[tensor]
            if not self._names[tensor].startswith("unnamed."):
                del self._names[tensor]
        self._forget_last()
        self._waiting.update(copy.deepcopy(dict(state_dict)))

    def save(self, filename: Any) -> None:
        """Write the state to a file that `torch.load(filename, weights_only=True)` accepts.

        Args:
            filename: a path or an open binary file.
        """
        torch.save(_plain(self.get_state()), filename)

    def load(self, filename: Any, map_location: Any = None) -> None:
        """Set the state from a file that `save`, or Pyro's `save`, wrote; runs no code from the file.

        Args:
            filename: a path or an open binary file.
            map_location: as in `torch.load`.

        Raises:
            DataError: the file holds something else.
        """
        try:
            state = torch.load(filename, map_location=map_location, weights_only=True)
        except pickle.UnpicklingError as error:
            raise DataError(
                "this file holds more than tensors, numbers and strings",
                expected="a file written by save()",
                got=str(error).splitlines()[0],
                hint="if you trust it: optimizer.set_state(torch.load(filename, weights_only=False))",
            ) from error
        self.set_state(state)

    def __getstate__(self) -> dict[str, Any]:
        kept = {key: value for key, value in self.__dict__.items() if key not in _RUNTIME}
        return {**kept, "_waiting": self.get_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()


def _check_leaf(param: Any) -> None:
    if isinstance(param, torch.Tensor) and param.is_leaf:
        return
    constrained = getattr(param, "unconstrained", None) is not None
    raise UsageError(
        "can't optimize a non-leaf Tensor" if isinstance(param, torch.Tensor) else "can't optimize what is no tensor",
        expected="unconstrained leaf tensors",
        got=f"the constrained value of a parameter, {tuple(param.shape)}" if constrained else param,
        hint="pass value.unconstrained()"
        if constrained
        else "pass a list of parameters, not what is computed from them",
    )


def _shared_part(state: State) -> dict[str, Any]:
    """Return all of a parameter's state but the part that belongs to its tensor."""
    plain = state.get("optimizer", state)
    return {"scheduler": state.get("scheduler"), **{key: value for key, value in plain.items() if key != "state"}}


def _plain(value: Any) -> Any:
    """Turn numpy's numbers, which a safe file cannot hold, into Python's."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return {key: _plain(item) for key, item in value.items()} if type(value) is dict else value


def AdagradRMSProp(optim_args: Mapping[str, Any] | Callable[..., Mapping[str, Any]]) -> PyroOptim:
    """Return a PyroOptim of `pyroxene.optim.adagrad_rmsprop.AdagradRMSProp`.

    Args:
        optim_args: `eta`, `delta` and `t`: a dict, or a function of the parameter's name that returns one.
    """
    return PyroOptim(_AdagradRMSProp, optim_args)


def ClippedAdam(optim_args: Mapping[str, Any] | Callable[..., Mapping[str, Any]]) -> PyroOptim:
    """Return a PyroOptim of `pyroxene.optim.clipped_adam.ClippedAdam`.

    Args:
        optim_args: `lr`, `betas`, `eps`, `weight_decay`, `clip_norm`, `lrd` and `centered_variance`: a dict, or a
            function of the parameter's name that returns one.

    Example:
        >>> optimizer = ClippedAdam({"lr": 0.01, "lrd": 0.1 ** (1 / 1000)})  # a tenth of the rate after 1000 steps
    """
    return PyroOptim(_ClippedAdam, optim_args)


def DCTAdam(optim_args: Mapping[str, Any] | Callable[..., Mapping[str, Any]]) -> PyroOptim:
    """Return a PyroOptim of `pyroxene.optim.dct_adam.DCTAdam`.

    Args:
        optim_args: `lr`, `betas`, `eps`, `clip_norm`, `lrd` and `subsample_aware`: a dict, or a function of the
            parameter's name that returns one.
    """
    return PyroOptim(_DCTAdam, optim_args)
