"""Handlers that decide values: condition, uncondition, do, replay, substitute, seed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pyroxene.errors import ReplayError, UsageError
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.runtime import apply_stack, handlers_in_force, set_handlers
from pyroxene.poutine.trace_struct import Trace, site_is_subsample
from pyroxene.rng import get_rng_state, set_rng_seed, set_rng_state

__all__ = [
    "ConditionMessenger",
    "DoMessenger",
    "ReplayMessenger",
    "SeedMessenger",
    "SubstituteMessenger",
    "UnconditionMessenger",
    "condition",
    "do",
    "replay",
    "seed",
    "substitute",
    "uncondition",
]

Values = Mapping[str, Any]


def _look_up(data: Values | Trace, name: str) -> Any:
    """The value that data holds for a site, or None."""
    if name not in data:
        return None
    return data.nodes[name]["value"] if isinstance(data, Trace) else data[name]


def _check_mapping(handler: str, data: object) -> None:
    if not isinstance(data, (Mapping, Trace)):
        raise UsageError(
            f"{handler} takes values by site name",
            expected="a dict or a Trace",
            got=data,
            hint=f"{handler}(data={{...}})",
        )


class ConditionMessenger(Messenger):
    """Observes sample sites; final. See `condition`."""

    def __init__(self, data: Values | Trace) -> None:
        super().__init__()
        _check_mapping("condition", data)
        self.data = data

    def _pyro_sample(self, msg: Message) -> None:
        value = _look_up(self.data, msg["name"])
        if value is not None:
            msg["value"] = value
            msg["is_observed"] = True


class UnconditionMessenger(Messenger):
    """Makes observed sites latent again; final. See `uncondition`."""

    def _pyro_sample(self, msg: Message) -> None:
        if msg["is_observed"] and not site_is_subsample(msg):
            msg["is_observed"] = False
            msg["infer"]["was_observed"] = True
            msg["infer"]["obs"] = msg["value"]
            msg["value"] = None
            msg["done"] = False


class DoMessenger(Messenger):
    """Cuts sites off from what depends on them; final. See `do`."""

    def __init__(self, data: Values) -> None:
        super().__init__()
        _check_mapping("do", data)
        self.data = data

    def _pyro_sample(self, msg: Message) -> None:
        value = _look_up(self.data, msg["name"])
        if value is None or site_is_subsample(msg):
            return
        if "_intervener" in msg:
            warnings.warn(f"site '{msg['name']}' is intervened on twice; the inner value holds", stacklevel=2)
        msg["_intervener"] = id(self)
        # The site itself goes on, with a value of its own that nobody reads: the intervention leaves its density alone.
        # Handlers inside this one have acted on it already.
        original = msg.copy()
        original["infer"] = dict(msg["infer"])
        handlers = handlers_in_force()
        position = next(i for i, handler in enumerate(handlers) if handler is self)
        set_handlers(handlers[:position])
        try:
            apply_stack(original)
        finally:
            set_handlers(handlers)
        for handler in handlers[position + 1 :]:
            handler._postprocess_message(original)
        msg["name"] = f"{msg['name']}__CF"
        msg["value"] = value if isinstance(value, torch.Tensor) else torch.as_tensor(value)
        msg["is_observed"] = True
        msg["stop"] = True


class ReplayMessenger(Messenger):
    """Gives sites the values that another run's sites had; final. See `replay`."""

    def __init__(self, trace: Trace | None = None, params: Values | None = None) -> None:
        super().__init__()
        if trace is None and params is None:
            raise UsageError("replay needs a trace or params", expected="trace=..., or params=...", got="neither")
        self.trace = trace
        self.params = params

    def _pyro_sample(self, msg: Message) -> None:
        if self.trace is None or msg["is_observed"]:
            return
        name = msg["name"]
        recorded = self.trace.nodes.get(name)
        if recorded is None:
            return
        if recorded["type"] != "sample" or recorded["is_observed"]:
            raise ReplayError(
                f"site '{name}' must be sampled in the trace that is replayed",
                site=name,
                source=msg.get("source"),
                expected="a latent sample site",
                got="an observed one" if recorded["type"] == "sample" else f"a {recorded['type']} site",
                hint="leave obs out in the guide",
            )
        msg["done"] = True
        msg["value"] = recorded["value"]
        msg["infer"] = recorded["infer"]

    def _pyro_param(self, msg: Message) -> None:
        if self.params is not None and msg["name"] in self.params:
            msg["done"] = True
            msg["value"] = self.params[msg["name"]]


class SubstituteMessenger(Messenger):
    """Gives param sites values; final. See `substitute`."""

    def __init__(self, data: Values) -> None:
        super().__init__()
        _check_mapping("substitute", data)
        self.data = data

    def _pyro_param(self, msg: Message) -> None:
        value = _look_up(self.data, msg["name"])
        if value is not None:
            msg["value"] = value
            msg["done"] = True


class SeedMessenger(Messenger):
    """Seeds the random number generators for a block, and puts their states back; final. See `seed`."""

    def __init__(self, rng_seed: int) -> None:
        super().__init__()
        if not isinstance(rng_seed, int):
            raise UsageError("seed takes an integer", expected="rng_seed: int", got=rng_seed)
        self.rng_seed = rng_seed

    def __enter__(self) -> SeedMessenger:
        super().__enter__()
        self._before = get_rng_state()
        set_rng_seed(self.rng_seed)
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        set_rng_state(self._before)


@_make_handler(ConditionMessenger)
def condition(fn: Callable[..., Any], data: Values | Trace) -> Any:
    """Observe sample sites: give them values that inference takes as data.

    Args:
        fn: a model.
        data: values by site name, or a trace; a value of None leaves the site latent.

    Returns:
        the conditioned model.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> model = condition(lambda: pyroxene.sample("x", dist.Normal(0.0, 1.0)), data={"x": torch.tensor(2.0)})
        >>> model()
        tensor(2.)
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(UnconditionMessenger)
def uncondition(fn: Callable[..., Any] | None = None) -> Any:
    """Make every observed site latent, to sample data from the model.

    The site's `infer` dict keeps the data under "obs" and "was_observed".
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(DoMessenger)
def do(fn: Callable[..., Any], data: Values) -> Any:
    """Intervene: what depends on a site sees the given value; the site's own density does not.

    Args:
        fn: a model.
        data: values by site name.

    Source: J. Pearl (2009), Causality, section 3.2 (the do-operator), with the split nodes of Richardson and Robins
    (2013), Single world intervention graphs.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> def model():
        ...     x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        ...     return pyroxene.sample("y", dist.Delta(x + 1))
        >>> do(model, data={"x": torch.tensor(4.0)})()
        tensor(5.)
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(ReplayMessenger)
def replay(fn: Callable[..., Any] | None = None, trace: Trace | None = None, params: Values | None = None) -> Any:
    """Run a model with the values of another run's latent sites.

    Args:
        fn: a model.
        trace: whose latent sites' values are used; observed sites of the model keep their data.
        params: values of param sites by name.

    Raises:
        ReplayError: (a RuntimeError) the trace holds the site as an observation.
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(SubstituteMessenger)
def substitute(fn: Callable[..., Any], data: Values) -> Any:
    """Give param sites values instead of those in the parameter store.

    Args:
        fn: a model.
        data: constrained values by param name.
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(SeedMessenger)
def seed(fn: Callable[..., Any], rng_seed: int) -> Any:
    """Run a model with the generators seeded, and put their states back afterwards.

    Args:
        fn: a model.
        rng_seed: the seed.
    """
    raise AssertionError("replaced by the decorator")
