"""The base of all handlers: a context manager that sees each message on its way up and on its way down."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, update_wrapper, wraps
from typing import Any

from pyroxene.errors import UsageError
from pyroxene.poutine.message import Message
from pyroxene.poutine.runtime import handlers_in_force, set_handlers

__all__ = ["Messenger", "ReentrantMessenger", "block_messengers", "unwrap"]


class _MethodNames(dict[str, tuple[str, str]]):
    """The names of the methods for a message type, made once: looking up an interned name is several times faster."""

    def __missing__(self, kind: str) -> tuple[str, str]:
        self[kind] = names = (sys.intern(f"_pyro_{kind}"), sys.intern(f"_pyro_post_{kind}"))
        return names


_METHODS = _MethodNames()


def _leaving_no_trace(enter: Callable[[Any], Any]) -> Callable[[Any], Any]:
    @wraps(enter)
    def guarded(self: Messenger) -> Any:
        before = handlers_in_force()
        try:
            return enter(self)
        except BaseException:
            set_handlers(before)
            raise

    return guarded


def _no_type(verb: str) -> UsageError:
    return UsageError(
        f"{verb} needs the message type", expected="type: str", got=None, hint=f'Messenger.{verb}(fn, type="sample")'
    )


class _Bound:
    """A function that runs inside a handler each time it is called."""

    def __init__(self, messenger: Messenger, fn: Callable[..., Any]) -> None:
        self.msngr = messenger
        self.fn = fn
        update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self.msngr:
            return self.fn(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Let a handler decorate a method."""
        return self if instance is None else partial(self, instance)

    def __repr__(self) -> str:
        return f"{type(self.msngr).__name__}({self.fn!r})"


class Messenger:
    """Abstract. A handler of messages, used as a context manager, a decorator or around a function.

    Implementing a handler: define any of

    - `_pyro_sample(msg)`, `_pyro_param(msg)`, `_pyro_<type>(msg)`: called before the statement acts, innermost handler
      first; change `msg` in place;
    - `_pyro_post_sample(msg)`, ... : called after it acted, outermost handler first;
    - `__enter__`, `__exit__`, `_reset`: call the base's.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> class Louder(Messenger):
        ...     def _pyro_post_sample(self, msg):
        ...         msg["value"] = 10 * msg["value"]
        >>> with Louder():
        ...     pyroxene.sample("x", dist.Delta(torch.tensor(1.0)))
        tensor(10.)
    """

    def __init__(self) -> None:
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take a user's handler off the stack again where its `__enter__` fails; ours fail before they are on it."""
        super().__init_subclass__(**kwargs)
        if "__enter__" in vars(cls) and not cls.__module__.startswith("pyroxene."):
            cls.__enter__ = _leaving_no_trace(cls.__enter__)  # type: ignore[method-assign]

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that runs `fn` inside this handler."""
        if not callable(fn):
            raise UsageError(
                f"{type(self).__name__} wraps a callable",
                expected="a function or module",
                got=fn,
                hint="use it with `with`",
            )
        return _Bound(self, fn)

    def __enter__(self) -> Any:
        handlers = handlers_in_force()
        if self in handlers:
            raise UsageError(
                f"a {type(self).__name__} cannot be installed twice at once",
                expected="an instance that is not active",
                got="one that is",
                hint="make a new handler for the inner block",
            )
        set_handlers((*handlers, self))
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> bool | None:
        handlers = handlers_in_force()
        if handlers and handlers[-1] is self:
            set_handlers(handlers[:-1])
        elif exc_type is None:
            raise UsageError(
                f"this {type(self).__name__} is not the innermost handler",
                expected="blocks that are left in the reverse of the order in which they were entered",
                got=[type(handler).__name__ for handler in handlers],
            )
        else:  # an exception passed through handlers that did not clean up: they go too
            for position, handler in enumerate(handlers):
                if handler is self:
                    set_handlers(handlers[:position])
                    break
        return None

    def _reset(self) -> None:
        """Clear what the handler remembers of a run; called when a run is left halfway."""

    def _process_message(self, msg: Message) -> None:
        """Pass a message on its way up to the method for its type."""
        method = getattr(self, _METHODS[msg["type"]][0], None)
        if method is not None:
            method(msg)

    def _postprocess_message(self, msg: Message) -> None:
        """Pass a message on its way down to the method for its type."""
        method = getattr(self, _METHODS[msg["type"]][1], None)
        if method is not None:
            method(msg)

    @classmethod
    def register(cls, fn: Callable[..., Any] | None = None, type: str | None = None, post: bool | None = None) -> Any:
        """Add a method for a message type to this class.

        Args:
            fn: the function of the message; None to use this as a decorator with arguments.
            type: the message type.
            post: whether it is called after the statement acted.

        Example:
            >>> @Messenger.register(type="shout", post=True)
            ... def shout(msg):
            ...     msg["value"] = msg["value"].upper()
            >>> Messenger.unregister(type="shout")
        """
        if fn is None:
            return partial(cls.register, type=type, post=post)
        if type is None:
            raise _no_type("register")
        setattr(cls, f"_pyro_post_{type}" if post else f"_pyro_{type}", staticmethod(fn))
        return fn

    @classmethod
    def unregister(cls, fn: Callable[..., Any] | None = None, type: str | None = None) -> Any:
        """Remove the methods for a message type from this class."""
        if type is None:
            raise _no_type("unregister")
        for name in (f"_pyro_post_{type}", f"_pyro_{type}"):
            if name in vars(cls):
                delattr(cls, name)
        return fn


class ReentrantMessenger(Messenger):
    """Abstract. A handler that may be entered again while it is active; it stands on the stack once."""

    def __init__(self) -> None:
        self._times_entered = 0
        super().__init__()

    def __enter__(self) -> Any:
        if self._times_entered == 0:
            super().__enter__()
        self._times_entered += 1
        return self

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> bool | None:
        self._times_entered -= 1
        if self._times_entered == 0:
            return super().__exit__(exc_type, exc_value, traceback)
        return None


@contextmanager
def block_messengers(predicate: Callable[[Messenger], bool]) -> Iterator[list[Messenger]]:
    """Take the active handlers that satisfy a predicate out of the stack inside a block.

    Args:
        predicate: of one handler.

    Yields:
        the handlers taken out; their `__exit__` is not called.
    """
    before: tuple[Any, ...] = handlers_in_force()
    out = [handler for handler in before if predicate(handler)]
    set_handlers(tuple(handler for handler in before if not predicate(handler)))
    try:
        yield out
    finally:
        set_handlers(before)


def unwrap(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the innermost function inside handlers, partials and decorated functions.

    Example:
        >>> from pyroxene import poutine
        >>> def model(): ...
        >>> unwrap(poutine.scale(poutine.trace(model), scale=2.0)) is model
        True
    """
    while True:
        if isinstance(fn, partial):
            fn = fn.func
        elif hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        elif hasattr(fn, "msngr") and hasattr(fn, "fn"):
            fn = fn.fn
        else:
            return fn
