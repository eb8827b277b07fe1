"""`trace`: record the sites of a run."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from pyroxene.errors import ParameterError, PyroxeneError, SupportError, site_named_at, user_source_of
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.trace_struct import Trace, site_is_subsample

__all__ = ["TraceHandler", "TraceMessenger", "identify_dense_edges", "trace"]


def identify_dense_edges(trace: Trace) -> None:
    """Add an edge from each sample site to every later one, unless a sequential plate makes them independent."""
    earlier: list[tuple[str, dict[str, int]]] = []
    for name, site in trace.nodes.items():
        if site["type"] != "sample" or site_is_subsample(site):
            continue
        counters = {frame.name: frame.counter for frame in site["cond_indep_stack"]}
        for past, past_counters in earlier:
            if all(past_counters.get(plate, count) == count for plate, count in counters.items()):
                trace.add_edge(past, name)
        earlier.append((name, counters))


class TraceMessenger(Messenger):
    """Records sample and param sites in `self.trace`; final.

    Args:
        graph_type: "flat", or "dense" for a graph of possible dependencies.
        param_only: record nothing but param sites.
    """

    def __init__(self, graph_type: str | None = None, param_only: bool | None = None) -> None:
        super().__init__()
        self.graph_type = "flat" if graph_type is None else graph_type
        self.param_only = bool(param_only)
        self.trace = Trace(self.graph_type)

    def __call__(self, fn: Callable[..., Any]) -> TraceHandler:
        """Return a callable with a method `get_trace`."""
        return TraceHandler(self, fn)

    def __enter__(self) -> TraceMessenger:
        self.trace = Trace(self.graph_type)
        super().__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        if self.graph_type == "dense":
            identify_dense_edges(self.trace)

    def get_trace(self) -> Trace:
        """Return a copy of the last run's trace."""
        return self.trace.copy()

    def _reset(self) -> None:
        fresh = Trace(self.graph_type)
        if "_INPUT" in self.trace.nodes:
            fresh.add_node("_INPUT", **self.trace.nodes["_INPUT"])
        self.trace = fresh

    def _pyro_post_sample(self, msg: Message) -> None:
        if self.param_only or msg["infer"].get("_do_not_trace"):
            return
        self.trace._record(msg["name"], msg.copy())  # type: ignore[arg-type]

    def _pyro_post_param(self, msg: Message) -> None:
        self.trace._record(msg["name"], msg.copy())  # type: ignore[arg-type]


class TraceHandler:
    """A function whose calls are recorded; made by `trace(fn)`; final."""

    def __init__(self, msngr: TraceMessenger, fn: Callable[..., Any]) -> None:
        self.msngr = msngr
        self.fn = fn

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the function, and keep its sites in `self.trace`."""
        with self.msngr:
            if not self.msngr.param_only:
                self.msngr.trace.add_node("_INPUT", name="_INPUT", type="args", args=args, kwargs=kwargs)
            try:
                result = self.fn(*args, **kwargs)
            except (ValueError, RuntimeError) as error:
                _explain(error, self.msngr.trace)
                raise
            if not self.msngr.param_only:
                self.msngr.trace.add_node("_RETURN", name="_RETURN", type="return", value=result)
        return result

    @property
    def trace(self) -> Trace:
        """The last run's trace."""
        return self.msngr.trace

    def get_trace(self, *args: Any, **kwargs: Any) -> Trace:
        """Run the function with these arguments and return the trace, whose `_RETURN` holds the result."""
        self(*args, **kwargs)
        return self.msngr.trace


def _explain(error: Exception, trace: Trace) -> None:
    """Add to an error of the model's what the run had come to; name the site of a bad distribution argument.

    Raises:
        ParameterError, SupportError: in the place of torch's bare ValueError about a distribution.
    """
    if getattr(error, "_pyroxene_explained", False):
        return
    shapes = trace.format_shapes()
    made: Exception = error
    if not isinstance(error, PyroxeneError) and type(error) is ValueError and error.__traceback__ is not None:
        frames = traceback.extract_tb(error.__traceback__)
        if any("distributions" in frame.filename for frame in frames):
            made = _distribution_error(error)
    if len(made.args) == 1:
        made.args = (f"{made.args[0]}\n{shapes}",)
    made._pyroxene_explained = True  # type: ignore[attr-defined]
    if made is not error:
        raise made from error


def _distribution_error(error: ValueError) -> PyroxeneError:
    """Turn torch's complaint about a distribution's argument or value into one that names site, plate and line."""
    source = user_source_of(error)
    plates = getattr(error, "_pyroxene_plates", [])
    common: dict[str, Any] = {
        "site": site_named_at(source),
        "plate": plates[0] if plates else None,
        "source": source,
    }
    text = str(error)
    if text.startswith("Expected value argument"):
        return SupportError(text, hint="check the data's coding and units", **common)
    expected = text.partition("satisfy the constraint ")[2].partition(", but found")[0] or None
    got = " ".join(text.partition("found invalid values:")[2].split()) or None
    if got is not None and "nan" in got:
        hint = (
            "a NaN was computed before this statement: look for log or sqrt of negative numbers, 0/0, or a too high "
            "learning rate"
        )
    elif expected is not None and "GreaterThan" in expected:
        hint = "pass it through exp() or softplus(), or declare the param with constraint=constraints.positive"
    else:
        hint = "correct the argument's shape and values"
    return ParameterError(text, expected=expected, got=got, hint=hint, **common)


@_make_handler(TraceMessenger)
def trace(
    fn: Callable[..., Any] | None = None, graph_type: str | None = None, param_only: bool | None = None
) -> TraceHandler | TraceMessenger:
    """Record the sites of a run.

    Args:
        fn: a model; None to use this as a context manager, whose `trace` holds the sites.
        graph_type: "flat", or "dense" for a graph of possible dependencies.
        param_only: record nothing but param sites.

    Returns:
        a callable whose method `get_trace(*args, **kwargs)` runs the model and returns a `Trace`.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> tr = trace(lambda: pyroxene.sample("x", dist.Delta(torch.tensor(3.0)))).get_trace()
        >>> tr.nodes["x"]["value"]
        tensor(3.)
    """
    raise AssertionError("replaced by the decorator")
