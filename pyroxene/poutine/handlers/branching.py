"""`queue`: run a model once for each way its sites may turn out, and what decides where a run is cut and continued."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from queue import Queue
from typing import Any

from pyroxene.errors import UsageError
from pyroxene.poutine.handlers.record import trace as record
from pyroxene.poutine.handlers.values import replay
from pyroxene.poutine.handlers.visibility import escape
from pyroxene.poutine.runtime import NonlocalExit
from pyroxene.poutine.trace_struct import Trace

__all__ = ["all_escape", "discrete_escape", "enum_extend", "mc_extend", "queue"]


def all_escape(trace: Trace, msg: Any) -> bool:
    """Say whether to leave the run at a site: any latent sample site that the trace does not hold."""
    return msg["type"] == "sample" and not msg["is_observed"] and msg["name"] not in trace


def discrete_escape(trace: Trace, msg: Any) -> bool:
    """Say whether to leave the run at a site: a discrete one, of finite support, that the trace does not hold."""
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
