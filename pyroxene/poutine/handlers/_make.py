"""How a handler class becomes a function that wraps a model, decorates one, or opens a `with` block."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from pyroxene.errors import UsageError

__all__ = ["_make_handler"]


def _make_handler(
    msngr_cls: Callable[..., Any], module: str | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that gives the handler class `msngr_cls` the signature and docstring of a function.

    Args:
        msngr_cls: called with everything but `fn`.
        module: the module that the function says it comes from.

    The function `handler(fn, *args, **kwargs)` returns `fn` wrapped; without `fn` it returns the handler itself, for
    use as a context manager or decorator.
    """

    def decorate(described: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(described)
        def handler(fn: Any = None, *args: Any, **kwargs: Any) -> Any:
            if fn is not None and not (callable(fn) or isinstance(fn, Iterable)):
                raise UsageError(
                    f"the first argument of {described.__name__} is not callable, did you mean to pass it by keyword?",
                    expected="a model to wrap",
                    got=fn,
                    hint=f"with {described.__name__}(name=value): ..., or {described.__name__}(model, name=value)",
                )
            messenger = msngr_cls(*args, **kwargs)
            return messenger if fn is None else messenger(fn)

        if module is not None:
            handler.__module__ = module
        return handler

    return decorate
