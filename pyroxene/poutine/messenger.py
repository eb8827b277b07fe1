"""The base of all handlers: a context manager that sees each message on its way up and on its way down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, update_wrapper
from typing import Any

from pyroxene.errors import UsageError
from pyroxene.poutine.message import Message
from pyroxene.poutine.runtime import handlers_in_force, set_handlers

__all__ = ["Messenger", "block_messengers", "unwrap"]


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

    _on_type: dict[str, str | None]
    _after_type: dict[str, str | None]

    def __init__(self) -> None:
        pass

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give each class its own memory of which method serves which message type."""
        super().__init_subclass__(**kwargs)
        cls._on_type, cls._after_type = {}, {}

    def __call__(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that runs `fn` inside this handler."""
        if not callable(fn):
            raise UsageError(
                f"{type(self).__name__} wraps a callable", expected="a function or module", got=fn, hint="use it with `with`"
            )
        return _Bound(self, fn)

    def __enter__(self) -> Any:
        handlers = handlers_in_force()
        if any(handler is self for handler in handlers):
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

    @classmethod
    def _method_for(cls, memory: dict[str, str | None], prefix: str, kind: str) -> str | None:
        name = f"{prefix}{kind}"
        memory[kind] = found = name if hasattr(cls, name) else None
        return found

    def _process_message(self, msg: Message) -> None:
        """Pass a message on its way up to the method for its type."""
        kind = msg["type"]
        memory = self._on_type
        name = memory[kind] if kind in memory else self._method_for(memory, "_pyro_", kind)
        if name is not None:
            getattr(self, name)(msg)

    def _postprocess_message(self, msg: Message) -> None:
        """Pass a message on its way down to the method for its type."""
        kind = msg["type"]
        memory = self._after_type
        name = memory[kind] if kind in memory else self._method_for(memory, "_pyro_post_", kind)
        if name is not None:
            getattr(self, name)(msg)

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
            raise ValueError("expected a message type to register a method for, got None")

        setattr(cls, f"_pyro_post_{type}" if post else f"_pyro_{type}", staticmethod(fn))
        _forget(cls)
        return fn

    @classmethod
    def unregister(cls, fn: Callable[..., Any] | None = None, type: str | None = None) -> Any:
        """Remove the methods for a message type from this class."""
        if type is None:
            raise ValueError("expected a message type to unregister methods of, got None")
        for name in (f"_pyro_post_{type}", f"_pyro_{type}"):
            if name in vars(cls):
                delattr(cls, name)
        _forget(cls)
        return fn


Messenger._on_type, Messenger._after_type = {}, {}


def _forget(cls: type[Messenger]) -> None:
    """Clear the memory of which method serves which type, down the tree of subclasses."""
    cls._on_type.clear()
    cls._after_type.clear()
    for child in cls.__subclasses__():
        _forget(child)


@contextmanager
def block_messengers(predicate: Callable[[Messenger], bool]) -> Iterator[list[Messenger]]:
    """Take the active handlers that satisfy a predicate out of the stack inside a block.

    Args:
        predicate: of one handler.

    Yields:
        the handlers taken out; their `__exit__` is not called.
    """
    before = handlers_in_force()
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
        elif isinstance(fn, _Bound) or hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__ if hasattr(fn, "__wrapped__") else fn.fn
        elif hasattr(fn, "msngr") and hasattr(fn, "fn"):
            fn = fn.fn
        else:
            return fn
