"""Minipyro: the idea of the language on one page, in torch and a library of distributions.

A model is an ordinary function. Where it says `sample` or `param` it sends a *message*, a plain dict, through a stack
of *handlers*; the statement's value is whatever the message holds when it comes back. A handler may look at a message
(`trace`), answer it (`replay`), change it (`plate`) or keep it from the handlers further out (`block`). Inference is
nothing but handlers around a model: run a guide and note what it drew, run the model with those draws put in, and
compare the densities of the two runs.

The full language adds care, handlers, inference and speed; its messages travel in the same way.

Example:
    >>> import torch, pyroxene.distributions as dist
    >>> def model(data):
    ...     loc = sample("loc", dist.Normal(0.0, 10.0))
    ...     with plate("data", len(data), dim=-1):
    ...         sample("obs", dist.Normal(loc, 1.0), obs=data)
    >>> def guide(data):
    ...     centre = param("centre", torch.tensor(0.0))
    ...     sample("loc", dist.Normal(centre, 0.5))
    >>> svi = SVI(model, guide, Adam({"lr": 0.1}), Trace_ELBO())
    >>> with seed(rng_seed=0):
    ...     losses = [svi.step(torch.tensor([2.0, 3.0, 4.0])) for _ in range(200)]
    >>> abs(param("centre").item() - 3.0) < 0.3
    True
    >>> get_param_store().clear()
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

from pyroxene.distributions import constraints

__all__ = [
    "Adam",
    "JitTrace_ELBO",
    "Messenger",
    "PlateMessenger",
    "SVI",
    "Trace_ELBO",
    "apply_stack",
    "block",
    "elbo",
    "get_param_store",
    "param",
    "plate",
    "replay",
    "sample",
    "seed",
    "trace",
]

Program = Callable[..., Any]
"""A model or a guide: any function that makes statements."""

Message = dict[str, Any]
"""A statement on its way: type, name, fn, args, kwargs, value, is_observed, stop."""

STACK: list[Messenger] = []
"""The handlers in force, the outermost first."""

PARAM_STORE: dict[str, tuple[torch.Tensor, constraints.Constraint]] = {}
"""Every parameter by name: a leaf tensor free of any constraint, and the constraint that its value shall satisfy."""


def get_param_store() -> dict[str, tuple[torch.Tensor, constraints.Constraint]]:
    """Return the parameters by name, each as (unconstrained leaf, constraint); clear it to begin anew."""
    return PARAM_STORE


# ------------------------------------------------------------------------------------------ how a message travels


def apply_stack(msg: Message) -> Message:
    """Send a message from the innermost handler outwards, give it a value, and let it come back the same way.

    Args:
        msg: the message, changed in place. A handler that sets `msg["stop"]` is the last to see it. A handler that
            sets `msg["value"]` has answered it; if none does, `msg["fn"]` is called.

    Returns:
        The same message; its "value" is filled.
    """
    visited: list[Messenger] = []
    for handler in reversed(STACK):
        visited.append(handler)
        handler.process_message(msg)
        if msg["stop"]:
            break
    if msg["value"] is None:
        msg["value"] = msg["fn"](*msg["args"], **msg["kwargs"])
    for handler in reversed(visited):
        handler.postprocess_message(msg)
    return msg


class Messenger:
    """Base class of handlers: it sees messages while its `with` block, or the function that it wraps, runs.

    Args:
        fn: the function that calling the handler runs.

    Implementing a handler: override one or both of

    - `process_message(msg)`: the message is on its way out, without a value yet unless it is observed;
    - `postprocess_message(msg)`: it is on its way back and has a value.
    """

    def __init__(self, fn: Program | None = None) -> None:
        self.fn = fn

    def __enter__(self) -> Any:
        STACK.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        left = STACK.pop()
        assert left is self, "handlers are left in the reverse order of entering"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        assert self.fn is not None, "a handler that wraps no function is for a `with` statement"
        with self:
            return self.fn(*args, **kwargs)

    def process_message(self, msg: Message) -> None:
        """See a message on its way out."""

    def postprocess_message(self, msg: Message) -> None:
        """See a message on its way back."""


# ---------------------------------------------------------------------------------------------------- statements


def _send(type: str, name: str, fn: Program, args: tuple[Any, ...], **more: Any) -> Any:
    msg = {"type": type, "name": name, "fn": fn, "args": args, "kwargs": {}, "value": None, "is_observed": False}
    return apply_stack({**msg, "stop": False, **more})["value"]


def sample(name: str, fn: Program, *args: Any, obs: torch.Tensor | None = None, **kwargs: Any) -> Any:
    """Draw from a distribution, or observe a value under it.

    Args:
        name: the name of the statement, once in a run.
        fn: a distribution, or any function that draws.
        *args: what `fn` is called with.
        obs: the observed value; None draws one.
        **kwargs: what `fn` is called with by keyword.

    Returns:
        The value: drawn, observed, or put in by a handler.
    """
    return _send("sample", name, fn, args, kwargs=kwargs, value=obs, is_observed=obs is not None)


def param(
    name: str,
    init_value: torch.Tensor | Callable[[], torch.Tensor] | None = None,
    constraint: constraints.Constraint = constraints.real,
    event_dim: int | None = None,
) -> torch.Tensor:
    """Read a parameter, which is created by the first run that names it.

    Args:
        name: the parameter's name in the store.
        init_value: its first value, or a function that makes it; needed once.
        constraint: what its value satisfies.
        event_dim: serves subsampling in the full language; without effect on this page.

    Returns:
        The constrained value; `.unconstrained()` gives the leaf that is optimised.

    Raises:
        KeyError: the parameter is not in the store and no initial value is given.
    """

    def fetch(constraint: constraints.Constraint) -> torch.Tensor:
        if name not in PARAM_STORE:
            if init_value is None:
                raise KeyError(f"there is no parameter {name!r} yet; give param an init_value")
            first = init_value() if callable(init_value) else init_value
            leaf = torch.distributions.transform_to(constraint).inv(first.detach()).clone()
            PARAM_STORE[name] = leaf.requires_grad_(), constraint
        leaf, constraint = PARAM_STORE[name]
        value: Any = torch.distributions.transform_to(constraint)(leaf)
        value.unconstrained = weakref.ref(leaf)  # weak: without a constraint, value and leaf are one tensor
        return value

    value: torch.Tensor = _send("param", name, fetch, (constraint,))
    return value


def plate(name: str, size: int, dim: int | None = None) -> PlateMessenger:
    """Declare that what is sampled inside is independent along a dimension.

    Args:
        name: what the dimension is called; for the reader.
        size: its length.
        dim: its place, counted from the right and so negative; the rightmost that is free if it is not given.

    Returns:
        A handler for a `with` statement; `for i in plate(...)` runs through the indices one by one.
    """
    return PlateMessenger(None, size, dim)


# ------------------------------------------------------------------------------------------------------ handlers


class trace(Messenger):
    """Records every message that reaches it: `with trace() as sites` or `trace(fn).get_trace(*args)`; final."""

    def __enter__(self) -> dict[str, Message]:
        super().__enter__()
        self.trace: dict[str, Message] = {}
        return self.trace

    def postprocess_message(self, msg: Message) -> None:
        if msg["type"] == "sample" and msg["name"] in self.trace:
            raise ValueError(f"two sample statements are named {msg['name']!r}")
        self.trace[msg["name"]] = msg.copy()

    def get_trace(self, *args: Any, **kwargs: Any) -> dict[str, Message]:
        """Run the function and return its messages by name."""
        self(*args, **kwargs)
        return self.trace


class replay(Messenger):
    """Answers sample statements with the values of an earlier run; final."""

    def __init__(self, fn: Program | None, guide_trace: dict[str, Message]) -> None:
        super().__init__(fn)
        self.guide_trace = guide_trace

    def process_message(self, msg: Message) -> None:
        if msg["type"] == "sample" and not msg["is_observed"] and msg["name"] in self.guide_trace:
            msg["value"] = self.guide_trace[msg["name"]]["value"]


class block(Messenger):
    """Hides from the handlers outside it every message of which `hide_fn(msg)` is true; final."""

    def __init__(self, fn: Program | None = None, hide_fn: Callable[[Message], bool] = lambda msg: True) -> None:
        super().__init__(fn)
        self.hide_fn = hide_fn

    def process_message(self, msg: Message) -> None:
        if self.hide_fn(msg):
            msg["stop"] = True


class seed(Messenger):
    """Gives what runs inside it torch's random numbers from a seed, and those outside their own course; final."""

    def __init__(self, fn: Program | None = None, rng_seed: int | None = None) -> None:
        super().__init__(fn)
        assert rng_seed is not None, "seed needs an rng_seed"
        self.rng_seed = rng_seed

    def __enter__(self) -> seed:
        self.state = torch.get_rng_state()
        torch.manual_seed(self.rng_seed)
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        torch.set_rng_state(self.state)


class PlateMessenger(Messenger):
    """Makes each distribution inside it a batch along one dimension; see `plate`; final."""

    def __init__(self, fn: Program | None, size: int, dim: int | None) -> None:
        super().__init__(fn)
        self.size = size
        self.dim = dim

    def __enter__(self) -> PlateMessenger:
        taken = {handler.dim for handler in STACK if isinstance(handler, PlateMessenger)}
        if self.dim is None:
            self.dim = next(dim for dim in itertools.count(-1, -1) if dim not in taken)
        elif self.dim in taken:
            raise ValueError(f"two plates stand at dimension {self.dim}")
        super().__enter__()
        return self

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.size))

    def process_message(self, msg: Message) -> None:
        if msg["type"] != "sample" or self.dim is None:
            return
        shape = [1] * (-self.dim - len(msg["fn"].batch_shape)) + list(msg["fn"].batch_shape)
        if shape[self.dim] not in (1, self.size):
            raise ValueError(f"{msg['name']!r} has {shape[self.dim]} rows at {self.dim}, its plate {self.size}")
        shape[self.dim] = self.size
        msg["fn"] = msg["fn"].expand(torch.Size(shape))


# ----------------------------------------------------------------------------------------------------- inference


def elbo(model: Program, guide: Program, *args: Any, **kwargs: Any) -> torch.Tensor:
    """Estimate the negative evidence lower bound from one draw of the guide.

    With z drawn from the guide q, the bound is E[log p(x, z) - log q(z)] <= log p(x), equal where q is the posterior.

    Args:
        model: makes sample statements, some of them observed.
        guide: has a sample statement of the same name for each that the model does not observe.
        *args: what both are called with.
        **kwargs: what both are called with by keyword.

    Returns:
        A scalar whose gradient flows into the parameters.

    Raises:
        ValueError: a draw of the guide depends on parameters but is not differentiable in them (a discrete one, say):
            the gradient would be wrong. The full language has estimators for that.

    Source: D. Kingma and M. Welling, Auto-encoding variational Bayes, 2014, eq. 2 and 4.
    """
    guide_trace = trace(guide).get_trace(*args, **kwargs)
    model_trace = trace(replay(model, guide_trace)).get_trace(*args, **kwargs)
    bound = torch.zeros(())
    for site in (site for site in model_trace.values() if site["type"] == "sample"):
        bound = bound + site["fn"].log_prob(site["value"]).sum()
    for site in (site for site in guide_trace.values() if site["type"] == "sample"):
        log_density = site["fn"].log_prob(site["value"]).sum()
        if log_density.requires_grad and not site["fn"].has_rsample:
            raise ValueError(f"the draw of {site['name']!r} is not differentiable in the guide's parameters")
        bound = bound - log_density
    return -bound


class Trace_ELBO:
    """The loss of `SVI`: the mean of `elbo` over `num_particles` draws; options that concern only speed do nothing."""

    def __init__(self, *, num_particles: int = 1, **kwargs: Any) -> None:
        self.num_particles = num_particles

    def __call__(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> torch.Tensor:
        draws = [elbo(model, guide, *args, **kwargs) for _ in range(self.num_particles)]
        return torch.stack(draws).mean()


class JitTrace_ELBO(Trace_ELBO):
    """The same as `Trace_ELBO` under a name that programs use; nothing is compiled on this page."""


class Adam:
    """Adam for parameters that appear as the program runs: one optimiser of torch for each.

    Args:
        optim_args: keywords of `torch.optim.Adam`.
    """

    def __init__(self, optim_args: dict[str, Any]) -> None:
        self.optim_args = optim_args
        self.optim_objs: dict[torch.Tensor, torch.optim.Adam] = {}

    def __call__(self, params: Iterable[torch.Tensor]) -> None:
        """Make one step with each tensor's gradient, then clear the gradients."""
        for leaf in params:
            if leaf not in self.optim_objs:
                self.optim_objs[leaf] = torch.optim.Adam([leaf], **self.optim_args)
            self.optim_objs[leaf].step()
            leaf.grad = None


class SVI:
    """Stochastic variational inference: bring the guide near the posterior by descending a loss.

    Args:
        model: the model.
        guide: the family of approximations, with `param` statements.
        optim: called with the unconstrained parameters after each backward pass.
        loss: called as `loss(model, guide, *args, **kwargs)`; a scalar to descend.
    """

    def __init__(self, model: Program, guide: Program, optim: Program, loss: Program) -> None:
        self.model = model
        self.guide = guide
        self.optim = optim
        self.loss = loss

    def step(self, *args: Any, **kwargs: Any) -> float:
        """Make one step of the optimiser and return the loss before it."""
        with trace() as parameters, block(hide_fn=lambda msg: msg["type"] != "param"):
            loss = self.loss(self.model, self.guide, *args, **kwargs)
        loss.backward()
        self.optim(PARAM_STORE[name][0] for name in parameters)
        return loss.item()
