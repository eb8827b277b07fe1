"""Handlers that decide which sites outer handlers see, and how far a run goes: block, escape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pyroxene.errors import UsageError
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger
from pyroxene.poutine.runtime import NonlocalExit

__all__ = ["BlockMessenger", "EscapeMessenger", "block", "escape"]

Predicate = Callable[[Any], Any]
Names = Sequence[str]


def _hide_by_lists(
    hide_all: bool,
    expose_all: bool,
    hide: Names | None,
    expose: Names | None,
    hide_types: Names | None,
    expose_types: Names | None,
) -> Predicate:
    """Build the predicate that says which sites to hide from lists of names and types."""
    hide_all = hide_all and not expose_all  # `block(expose_all=True)`: the default hide_all=True gives way
    for to_hide, to_show in ((hide, expose), (hide_types, expose_types)):
        both = set(to_hide or ()) & set(to_show or ())
        if both:
            raise UsageError(
                "block is told to hide and to expose the same", expected="disjoint lists", got=sorted(both)
            )
    for given, rest_is_hidden in ((hide, False), (expose, True), (hide_types, False), (expose_types, True)):
        if given is not None:  # the last list that is given says what becomes of sites in no list
            hide_all = rest_is_hidden
    return _Hidden(
        hide_all,
        frozenset(hide or ()),
        frozenset(hide_types or ()),
        frozenset(expose or ()),
        frozenset(expose_types or ()),
    )


@dataclass(frozen=True)
class _Hidden:
    """Says whether lists of names and types hide a message; a value, so that blocked models pickle."""

    hide_all: bool
    hidden_names: frozenset[str]
    hidden_types: frozenset[str]
    shown_names: frozenset[str]
    shown_types: frozenset[str]

    def __call__(self, msg: Any) -> bool:
        name, kind = msg["name"], msg["type"]
        if kind == "sample" and msg["is_observed"]:
            kind = "observe"
        if name in self.hidden_names or kind in self.hidden_types:
            return True
        return self.hide_all and name not in self.shown_names and kind not in self.shown_types


class BlockMessenger(Messenger):
    """Hides sites from outer handlers; final. See `block`."""

    def __init__(
        self,
        hide_fn: Predicate | None = None,
        expose_fn: Predicate | None = None,
        hide_all: bool = True,
        expose_all: bool = False,
        hide: Names | None = None,
        expose: Names | None = None,
        hide_types: Names | None = None,
        expose_types: Names | None = None,
    ) -> None:
        super().__init__()
        if hide_fn is not None and expose_fn is not None:
            raise UsageError("block takes hide_fn or expose_fn, not both", expected="one of them", got="both")
        if hide_fn is not None:
            self.hide_fn = hide_fn
        elif expose_fn is not None:
            self.hide_fn = lambda msg: not expose_fn(msg)
        else:
            self.hide_fn = _hide_by_lists(hide_all, expose_all, hide, expose, hide_types, expose_types)

    def _process_message(self, msg: Message) -> None:
        msg["stop"] = bool(self.hide_fn(msg))


class EscapeMessenger(Messenger):
    """Leaves the run at a site; final. See `escape`."""

    def __init__(self, escape_fn: Predicate) -> None:
        super().__init__()
        self.escape_fn = escape_fn

    def _pyro_sample(self, msg: Message) -> None:
        if self.escape_fn(msg):
            msg["done"] = True
            msg["stop"] = True
            msg["continuation"] = _leave


def _leave(msg: Message) -> None:
    raise NonlocalExit(msg)


@_make_handler(BlockMessenger)
def block(
    fn: Callable[..., Any] | None = None,
    hide_fn: Predicate | None = None,
    expose_fn: Predicate | None = None,
    hide_all: bool = True,
    expose_all: bool = False,
    hide: Names | None = None,
    expose: Names | None = None,
    hide_types: Names | None = None,
    expose_types: Names | None = None,
) -> Any:
    """Hide sites from the handlers outside; without further arguments, all sites.

    Args:
        fn: a model.
        hide_fn: of a message; True hides the site. Takes precedence over everything below.
        expose_fn: of a message; True shows the site, and all others are hidden. Takes precedence likewise.
        hide_all: hide all sites but those exposed.
        expose_all: show all sites but those hidden.
        hide: names to hide; all other sites are shown.
        expose: names to show; all other sites are hidden.
        hide_types: types to hide: "param", "sample" for latent sites, "observe" for observed ones, a custom type.
        expose_types: types to show.

    Where several lists are given, hiding wins, and the last of them decides about sites that are in none.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> def model():
        ...     pyroxene.sample("a", dist.Delta(torch.zeros(())))
        ...     pyroxene.sample("b", dist.Delta(torch.zeros(())))
        >>> trace = pyroxene.poutine.trace(block(model, hide=["a"])).get_trace()
        >>> "a" in trace, "b" in trace
        (False, True)
    """
    raise AssertionError("replaced by the decorator")


@_make_handler(EscapeMessenger)
def escape(fn: Callable[..., Any], escape_fn: Predicate) -> Any:
    """Leave a model at the first sample site where a predicate holds.

    Args:
        fn: a model.
        escape_fn: of a message.

    Raises:
        NonlocalExit: holds the message in `site`.
    """
    raise AssertionError("replaced by the decorator")
