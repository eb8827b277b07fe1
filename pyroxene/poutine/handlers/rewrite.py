"""Handlers that turn one statement into another: lift, reparam, infer_config, equalize."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

from pyroxene.distributions import Delta
from pyroxene.distributions.distribution import Distribution
from pyroxene.errors import ShapeError, UsageError
from pyroxene.params import user_param_name
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.trace_struct import site_is_subsample

__all__ = [
    "EqualizeMessenger",
    "InferConfigMessenger",
    "LiftMessenger",
    "ReparamHandler",
    "ReparamMessenger",
    "equalize",
    "infer_config",
    "lift",
    "reparam",
]


class LiftMessenger(Messenger):
    """Turns param sites into sample sites; final. See `lift`."""

    def __init__(self, prior: Any) -> None:
        super().__init__()
        if not (callable(prior) or isinstance(prior, (Mapping, Distribution))):
            raise UsageError(
                "lift takes a prior", expected="a distribution, a callable, or a dict of them by param name", got=prior
            )
        self.prior = prior
        self._reset()

    def __enter__(self) -> LiftMessenger:
        self._reset()
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        if isinstance(self.prior, Mapping) and exc[0] is None:
            unused = set(self.prior) - self._used
            if unused:
                warnings.warn(f"lift: no param site is named {', '.join(map(repr, sorted(unused)))}", stacklevel=2)
        super().__exit__(*exc)

    def _reset(self) -> None:
        self._values: dict[str, Any] = {}
        self._lifted: set[str] = set()
        self._used: set[str] = set()

    def _pyro_param(self, msg: Message) -> None:
        prior: Any = self.prior
        if isinstance(prior, Mapping):
            name = user_param_name(msg["name"])
            name = msg["name"] if msg["name"] in prior else name
            if name not in prior:
                return
            self._used.add(name)
            prior = prior[name]
        msg["fn"] = prior
        if isinstance(prior, Distribution):
            msg["args"], msg["kwargs"] = (), {}
        else:  # a stochastic function of what the statement was given, without the name
            msg["args"] = msg["args"][1:]
            if prior is self.prior:  # one for all parameters: it makes the sample statements that count
                msg["stop"] = True
                return
        msg["type"] = "sample"
        msg["infer"] = {}
        if msg["name"] in self._values:  # a parameter that is read twice is one random variable
            msg["value"] = self._values[msg["name"]]
            msg["done"] = True
            msg["infer"]["_do_not_trace"] = True
        self._lifted.add(msg["name"])

    def _pyro_post_sample(self, msg: Message) -> None:
        if msg["name"] in self._lifted:
            self._values[msg["name"]] = msg["value"]


class ReparamMessenger(Messenger):
    """Replaces sites by equivalent ones; final. See `reparam`."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        if not (callable(config) or isinstance(config, Mapping)):
            raise UsageError(
                "reparam takes a configuration",
                expected="a dict of reparametrisations by site, or a function",
                got=config,
            )
        self.config = config
        self._args_kwargs: tuple[tuple[Any, ...], dict[str, Any]] | None = None

    def __call__(self, fn: Callable[..., Any]) -> ReparamHandler:
        """Return the reparametrised model."""
        return ReparamHandler(self, fn)

    def _choose(self, msg: Message) -> Any:
        if isinstance(self.config, Mapping):
            return self.config.get(msg["name"])
        return self.config(msg)

    def _pyro_sample(self, msg: Message) -> None:
        if site_is_subsample(msg):
            return
        strategy = self._choose(msg)
        if strategy is None:
            return
        name, fn, value, is_observed = msg["name"], msg["fn"], msg["value"], msg["is_observed"]
        strategy.args_kwargs = self._args_kwargs
        try:
            if hasattr(strategy, "apply"):
                new = strategy.apply({"name": name, "fn": fn, "value": value, "is_observed": is_observed})
            else:  # the older form: a callable of (name, fn, obs)
                new_fn, new_value = strategy(name, fn, value)
                new = {"fn": new_fn, "value": new_value, "is_observed": new_value is not None}
        finally:
            strategy.args_kwargs = None
        msg["fn"], msg["value"], msg["is_observed"] = new["fn"], new["value"], new["is_observed"]
        if msg["value"] is not value and isinstance(msg["value"], torch.Tensor):
            self._check_shape(msg, fn)

    @staticmethod
    def _check_shape(msg: Message, fn: Any) -> None:
        """Refuse a value that would not fit where the site's value is used."""
        event_shape, shape = getattr(fn, "event_shape", ()), msg["value"].shape
        if shape[len(shape) - len(event_shape) :] != torch.Size(event_shape) or len(shape) < len(event_shape):
            raise ShapeError(
                f"the reparametrisation of site '{msg['name']}' made a value of another shape",
                site=msg["name"],
                source=msg.get("source"),
                expected=f"event_shape {tuple(event_shape)}",
                got=f"shape {tuple(shape)}",
                hint="return a value of the shape that the original distribution draws",
            )


class ReparamHandler:
    """A model with reparametrised sites; made by `reparam(fn, config)`; final."""

    def __init__(self, msngr: ReparamMessenger, fn: Callable[..., Any]) -> None:
        self.msngr = msngr
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model; reparametrisations may read its arguments."""
        before = self.msngr._args_kwargs
        self.msngr._args_kwargs = (args, kwargs)
        try:
            with self.msngr:
                return self.fn(*args, **kwargs)
        finally:
            self.msngr._args_kwargs = before


class InferConfigMessenger(Messenger):
    """Sets `infer` dicts; final. See `infer_config`."""

    def __init__(self, config_fn: Callable[[Any], dict[str, Any]]) -> None:
        super().__init__()
        self.config_fn = config_fn

    def _pyro_sample(self, msg: Message) -> None:
        msg["infer"].update(self.config_fn(msg))

    def _pyro_param(self, msg: Message) -> None:
        msg["infer"].update(self.config_fn(msg))


class EqualizeMessenger(Messenger):
    """Makes sites share one value; final. See `equalize`."""

    def __init__(self, sites: str | list[str], type: str = "sample", keep_dist: bool = False) -> None:
        super().__init__()
        self.sites = [sites] if isinstance(sites, str) else list(sites)
        self.type = type
        self.keep_dist = keep_dist
        self._value: Any = None

    def __enter__(self) -> EqualizeMessenger:
        self._reset()
        super().__enter__()
        return self

    def _reset(self) -> None:
        self._value = None

    def _is_matching(self, msg: Message) -> bool:
        return msg["type"] == self.type and any(re.fullmatch(pattern, msg["name"]) for pattern in self.sites)

    def _process_message(self, msg: Message) -> None:
        if self._value is None or not self._is_matching(msg):
            return
        msg["value"] = self._value
        if msg["type"] == "sample":
            if not self.keep_dist:
                event_dim = getattr(msg["fn"], "event_dim", self._value.dim())
                msg["fn"] = Delta(self._value, event_dim=event_dim).mask(False)
                msg["infer"]["_deterministic"] = True
            msg["is_observed"] = True
        msg["done"] = True

    def _postprocess_message(self, msg: Message) -> None:
        if self._value is None and self._is_matching(msg):
            self._value = msg["value"]


@_make_handler(LiftMessenger)
def lift(fn: Callable[..., Any], prior: Any) -> Any:
    """Turn parameters into random variables.

    Args:
        fn: a model.
        prior: a distribution for every param site, or a dict of distributions by param name.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> model = lift(lambda: pyroxene.param("p", torch.zeros(())), prior={"p": dist.Normal(0.0, 1.0)})
        >>> pyroxene.poutine.trace(model).get_trace().nodes["p"]["type"]
        'sample'
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(ReparamMessenger)
def reparam(fn: Callable[..., Any], config: Any) -> Any:
    """Replace sites by reparametrised ones, to change the geometry that inference sees.

    Args:
        fn: a model.
        config: reparametrisations by site name, or a function from a site to one or None. A reparametrisation has a
            method `apply({"name", "fn", "value", "is_observed"})` that may make sample statements of its own and
            returns such a dict.

    Source: M. I. Gorinova, D. Moore, M. D. Hoffman (2019), Automatic reparameterisation of probabilistic programs.
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(InferConfigMessenger)
def infer_config(fn: Callable[..., Any], config_fn: Callable[[Any], dict[str, Any]]) -> Any:
    """Update each site's `infer` dict.

    Args:
        fn: a model.
        config_fn: from a site to the entries to update.
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(EqualizeMessenger)
def equalize(fn: Callable[..., Any], sites: str | list[str], type: str = "sample", keep_dist: bool = False) -> Any:
    """Make several sites share the value of the first of them.

    Args:
        fn: a model.
        sites: a regular expression that whole names match, or a list of them.
        type: the sites' message type.
        keep_dist: whether the later sites keep their distributions, and are observed at the shared value; else they
            have no density.
    """
    raise AssertionError("replaced by the decorator")
