"""Handlers that run a model once for all, or for each, of a discrete site's values: enum, queue, markov."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from queue import Queue
from typing import Any

import torch

from pyroxene.distributions.distribution import Distribution
from pyroxene.errors import ShapeError, UsageError
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.handlers.record import trace as record
from pyroxene.poutine.handlers.values import replay
from pyroxene.poutine.handlers.visibility import escape
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.runtime import NonlocalExit
from pyroxene.poutine.trace_struct import Trace, site_is_subsample

__all__ = [
    "EnumMessenger",
    "MarkovMessenger",
    "all_escape",
    "discrete_escape",
    "enum",
    "enum_extend",
    "enumerate_site",
    "markov",
    "mc_extend",
    "queue",
]


def enumerate_site(msg: Any) -> torch.Tensor:
    """Return all values of a discrete site, or the samples that stand for them, along a new leftmost dimension.

    Reads `infer`: "num_samples" (draw so many instead), "expand" (whether the values span the batch shape) and "tmc".
    """
    fn, infer = msg["fn"], msg["infer"]
    num_samples = infer.get("num_samples")
    if num_samples is None:
        values: torch.Tensor = fn.enumerate_support(expand=infer.get("expand", False))
        return values
    if infer.get("expand") or infer.get("tmc") == "diagonal":
        drawn: torch.Tensor = fn(sample_shape=(num_samples,))
        return drawn
    thin = fn  # one set of samples for the whole batch: drop the dimensions that repeat
    sample: torch.Tensor = thin(sample_shape=(num_samples,))
    return sample


class EnumMessenger(Messenger):
    """Enumerates sites marked `infer={"enumerate": "parallel"}` along batch dimensions of their own; final.

    Args:
        first_available_dim: the rightmost batch dimension that no plate uses, negative.
    """

    def __init__(self, first_available_dim: int | None = None) -> None:
        super().__init__()
        if first_available_dim is not None and first_available_dim >= 0:
            raise UsageError(
                "enum counts dimensions from the right", expected="first_available_dim < 0", got=first_available_dim
            )
        self.first_available_dim = -1 if first_available_dim is None else first_available_dim
        self._reset()

    def _reset(self) -> None:
        self._next_dim = self.first_available_dim
        self._next_id = 0
        self._dim_to_id: dict[int, int] = {}

    def __enter__(self) -> EnumMessenger:
        self._reset()
        super().__enter__()
        return self

    def _pyro_sample(self, msg: Message) -> None:
        infer = msg["infer"]
        if msg["done"] or msg["is_observed"] or infer.get("enumerate") != "parallel":
            return
        fn = msg["fn"]
        if not isinstance(fn, Distribution) or (infer.get("num_samples") is None and not fn.has_enumerate_support):
            return
        value = enumerate_site(msg)
        batch = len(fn.batch_shape)  # type: ignore[attr-defined]
        target = min(self._next_dim, -1 - batch)
        gap = -1 - batch - target
        if gap < 0:
            raise ShapeError(
                f"site '{msg['name']}' has batch dimensions left of first_available_dim",
                site=msg["name"],
                source=msg.get("source"),
                expected=f"at most {-1 - target} batch dimensions",
                got=batch,
                hint="lower first_available_dim, or raise max_plate_nesting",
            )
        msg["value"] = value.reshape(value.shape[:1] + (1,) * gap + value.shape[1:])
        msg["done"] = True
        infer["_enumerate_dim"] = target
        self._dim_to_id[target] = self._next_id
        self._next_id += 1
        self._next_dim = target - 1

    def _pyro_post_sample(self, msg: Message) -> None:
        if self._dim_to_id and not site_is_subsample(msg):
            msg["infer"]["_dim_to_id"] = dict(self._dim_to_id)


class MarkovMessenger(Messenger):
    """Records that a loop depends on its last few rounds only; final. See `markov`.

    Sites inside carry `infer["_markov_depth"]`, the number of markov contexts that are open around them.
    """

    def __init__(
        self, history: int = 1, keep: bool = False, dim: int | None = None, name: str | None = None
    ) -> None:
        super().__init__()
        if not isinstance(history, int) or history < 0:
            raise UsageError("markov remembers a number of rounds", expected="history >= 0", got=history)
        if dim is not None:
            raise UsageError(
                "markov takes no dim: time steps that are a batch dimension are not recorded",
                expected="dim=None",
                got=dim,
                hint="a sequential markov loop",
            )
        self.history = history
        self.keep = keep
        self.dim = dim
        self.name = name
        self._iterable: Iterable[Any] | None = None
        self._depth = 0
        self._saved: list[list[frozenset[int]]] = []
        self._stack: list[frozenset[int]] = []
        self._round = 0

    def generator(self, iterable: Iterable[Any]) -> MarkovMessenger:
        """Return this context, to be looped over."""
        self._iterable = iterable
        return self

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return `fn`, each call a round of its own; recursive calls nest."""
        if not callable(fn):
            raise UsageError("markov wraps a function or an iterable", expected="one of them", got=fn)
        return _MarkovFunction(self, fn)

    def __enter__(self) -> MarkovMessenger:
        self._depth += 1
        if self._depth == 1:
            super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            super().__exit__(*exc)

    def __iter__(self) -> Iterator[Any]:
        if self._iterable is None:
            raise UsageError("this markov context wraps no iterable", expected="markov(range(n))", got="no iterable")
        with self:
            for self._round, item in enumerate(self._iterable):
                yield item

    def _pyro_sample(self, msg: Message) -> None:
        if msg["done"] or site_is_subsample(msg):
            return
        msg["infer"]["_markov_depth"] = 1 + msg["infer"].get("_markov_depth", 0)


class _MarkovFunction:
    """A function whose calls are rounds of a markov context."""

    def __init__(self, messenger: MarkovMessenger, fn: Callable[..., Any]) -> None:
        self.msngr = messenger
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.msngr:
            return self.fn(*args, **kwargs)


@_make_handler(EnumMessenger)
def enum(fn: Callable[..., Any] | None = None, first_available_dim: int | None = None) -> Any:
    """Enumerate the sites marked `infer={"enumerate": "parallel"}`, each along a new batch dimension.

    Args:
        fn: a model.
        first_available_dim: the rightmost batch dimension that no plate uses, negative.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> model = lambda: pyroxene.sample("x", dist.Bernoulli(0.5), infer={"enumerate": "parallel"})
        >>> enum(model, first_available_dim=-2)().shape
        torch.Size([2, 1])
    """
    raise AssertionError("replaced by the decorator")


def markov(
    fn: Any = None, history: int = 1, keep: bool = False, dim: int | None = None, name: str | None = None
) -> Any:
    """Declare that a loop's round depends on no more than the last `history` rounds.

    Args:
        fn: an iterable to loop over, a function whose calls are rounds, or None for a context manager.
        history: how many earlier rounds a round depends on.
        keep: whether sites stay visible to code after the loop.
        dim: not used.
        name: a name for the loop.

    Example:
        >>> [t for t in markov(range(3))]
        [0, 1, 2]
    """
    messenger = MarkovMessenger(history=history, keep=keep, dim=dim, name=name)
    if fn is None:
        return messenger
    if callable(fn):
        return messenger(fn)
    if isinstance(fn, Iterable):
        return messenger.generator(iterable=fn)
    raise UsageError("markov wraps a function or an iterable", expected="one of them", got=fn)


# one run for each value -------------------------------------------------------------------------------------------------


def all_escape(trace: Trace, msg: Any) -> bool:
    """Say whether to leave the run at a site: any latent sample site that the trace does not hold."""
    return msg["type"] == "sample" and not msg["is_observed"] and msg["name"] not in trace


def discrete_escape(trace: Trace, msg: Any) -> bool:
    """Say whether to leave the run at a site: a discrete one that can be enumerated and that the trace does not hold."""
    return all_escape(trace, msg) and bool(getattr(msg["fn"], "has_enumerate_support", False))


def _extend(trace: Trace, msg: Any, values: Iterable[Any]) -> list[Trace]:
    extended = []
    for value in values:
        new = trace.copy()
        site = dict(msg)
        site["value"] = value
        site["stop"], site["continuation"], site["done"] = False, None, True
        new.add_node(msg["name"], **site)
        extended.append(new)
    return extended


def enum_extend(trace: Trace, msg: Any, num_samples: int | None = None) -> list[Trace]:
    """Return one copy of a trace for each value of a discrete site.

    Args:
        trace: what the run had come to.
        msg: the site at which it was left.
        num_samples: take the first so many values; all where it is None or negative.
    """
    values = msg["fn"].enumerate_support(*msg["args"], **msg["kwargs"])
    count = len(values) if num_samples is None or num_samples < 0 else min(num_samples, len(values))
    return _extend(trace, msg, (values[i] for i in range(count)))


def mc_extend(trace: Trace, msg: Any, num_samples: int | None = None) -> list[Trace]:
    """Return copies of a trace, each with a random value of a site; one copy where num_samples is None."""
    return _extend(trace, msg, (msg["fn"](*msg["args"], **msg["kwargs"]) for _ in range(num_samples or 1)))


def queue(
    fn: Callable[..., Any] | None = None,
    queue: Queue[Trace] | None = None,
    max_tries: int | None = None,
    extend_fn: Callable[..., list[Trace]] | None = None,
    escape_fn: Callable[[Trace, Any], bool] | None = None,
    num_samples: int | None = None,
) -> Any:
    """Run a model along the traces of a queue; where a trace ends early, queue its extensions.

    Args:
        fn: a model.
        queue: partial traces; it is filled and emptied in place.
        max_tries: how many partial runs one call may take.
        extend_fn: of (trace, site, num_samples); `enum_extend` where it is None.
        escape_fn: of (trace, site); whether the run must be extended here; `discrete_escape` where it is None.
        num_samples: handed to `extend_fn`.

    Returns:
        a function that returns the result of the next complete run.

    Example:
        >>> from queue import LifoQueue
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> todo = LifoQueue(); todo.put(Trace())
        >>> model = enumerate_all = globals()["queue"](lambda: pyroxene.sample("x", dist.Bernoulli(0.5)), queue=todo)
        >>> sorted([model().item(), model().item()]), todo.empty()
        ([0.0, 1.0], True)
    """
    if fn is None:
        return partial(
            globals()["queue"],
            queue=queue,
            max_tries=max_tries,
            extend_fn=extend_fn,
            escape_fn=escape_fn,
            num_samples=num_samples,
        )
    if queue is None:
        raise UsageError("queue needs a queue of traces", expected="queue=queue.Queue()", got=None)
    limit = int(1e6) if max_tries is None else max_tries
    extend = enum_extend if extend_fn is None else extend_fn
    leave = discrete_escape if escape_fn is None else escape_fn

    def run(*args: Any, **kwargs: Any) -> Any:
        for _ in range(limit):
            if queue.empty():
                raise UsageError("queue of traces is empty", expected="a trace to start from", got="none")
            partial_trace = queue.get()
            traced = record(escape(replay(fn, trace=partial_trace), escape_fn=partial(leave, partial_trace)))
            try:
                return traced(*args, **kwargs)
            except NonlocalExit as left:
                reached = traced.trace.copy()
                left.reset_stack()
                for extended in extend(reached, left.site, num_samples=num_samples):
                    queue.put(extended)
        raise UsageError(f"max tries ({limit}) exceeded", expected="a complete run", got=f"{limit} partial ones")

    return run
