"""The run in progress: which handlers are active, which batch dimensions are taken, and how a message travels.

All of it hangs on context variables with immutable values, so threads and asynchronous tasks never see each other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, MutableSequence, Sequence
from contextvars import ContextVar, Token
from typing import Any, Protocol, overload

import torch

from pyroxene.errors import PlateError, UsageError
from pyroxene.poutine.message import CondIndepStackFrame, InferDict, Message

__all__ = [
    "Handler",
    "InferDict",
    "Message",
    "NonlocalExit",
    "am_i_wrapped",
    "apply_stack",
    "default_process_message",
    "effectful",
    "get_mask",
    "get_plates",
    "handlers_in_force",
    "new_message",
    "set_handlers",
    "share_subsamples",
    "shared_subsamples",
]


class Handler(Protocol):
    """What the stack asks of a handler; `Messenger` is the class to inherit from."""

    def _process_message(self, msg: Message) -> None: ...

    def _postprocess_message(self, msg: Message) -> None: ...

    def _reset(self) -> None: ...


_HANDLERS: ContextVar[tuple[Handler, ...]] = ContextVar("pyroxene_handlers", default=())
"""The active handlers, outermost first."""
_DIMS: ContextVar[tuple[str | None, ...]] = ContextVar("pyroxene_dims", default=())
"""The plate that holds batch dimension -1, -2, ..."""
_SUBSAMPLES: ContextVar[dict[str, tuple[int, torch.Tensor]] | None] = ContextVar("pyroxene_subsamples", default=None)
"""Plate -> its size and the indices of this step; None where steps do not share them."""


def handlers_in_force() -> tuple[Handler, ...]:
    """Return the active handlers, outermost first."""
    return _HANDLERS.get()


def set_handlers(handlers: tuple[Handler, ...]) -> None:
    """Replace the active handlers."""
    _HANDLERS.set(handlers)


class _StackView(MutableSequence[Handler]):
    """The current stack as a mutable list, for code that knows Pyro's `_PYRO_STACK`."""

    @overload
    def __getitem__(self, index: int) -> Handler: ...
    @overload
    def __getitem__(self, index: slice) -> list[Handler]: ...
    def __getitem__(self, index: Any) -> Any:
        return list(handlers_in_force())[index]

    def _edit(self, change: Callable[[list[Any]], None]) -> None:
        handlers = list(handlers_in_force())
        change(handlers)
        set_handlers(tuple(handlers))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._edit(lambda handlers: handlers.__setitem__(index, value))

    def __delitem__(self, index: Any) -> None:
        self._edit(lambda handlers: handlers.__delitem__(index))

    def __len__(self) -> int:
        return len(handlers_in_force())

    def __iter__(self) -> Iterator[Handler]:
        return iter(handlers_in_force())

    def insert(self, index: int, value: Handler) -> None:
        """Insert a handler."""
        self._edit(lambda handlers: handlers.insert(index, value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and list(self) == list(other)

    def __repr__(self) -> str:
        return repr(list(self))


_PYRO_STACK = _StackView()


class _DimAllocator:
    """Which plate holds which batch dimension of the current run; counted from the right."""

    def allocate(self, name: str, dim: int | None) -> int:
        """Take a dimension for a plate: the one it asks for, or the rightmost free one.

        Raises:
            PlateError: the dimension is not negative, or another plate holds it.
        """
        dims = _DIMS.get()
        if name in dims:
            raise PlateError(
                f"collide: the plate '{name}' is already entered",
                plate=name,
                expected="a plate that is not active",
                got=f"'{name}' at dim {-1 - dims.index(name)}",
                hint="give the inner plate a name of its own",
            )
        if dim is None:
            dim = -1 - (dims.index(None) if None in dims else len(dims))
        elif dim >= 0:
            raise PlateError(
                f"the dim of plate '{name}' is counted from the right and must be negative",
                plate=name,
                expected="dim < 0",
                got=dim,
                hint=f"dim={-1 - dim}",
            )
        position = -1 - dim
        dims += (None,) * (position + 1 - len(dims))
        holder = dims[position]
        if holder is not None:
            raise PlateError(
                f"collide: plates '{holder}' and '{name}' are both at dim {dim}",
                plate=name,
                expected="one plate for each batch dimension",
                got=f"dim {dim} twice",
                hint=f"give '{name}' another dim, or leave dim out and let it be chosen",
            )
        _DIMS.set(dims[:position] + (name,) + dims[position + 1 :])
        return dim

    def free(self, name: str, dim: int) -> None:
        """Give a dimension back."""
        dims = _DIMS.get()
        position = -1 - dim
        if position < len(dims) and dims[position] == name:
            dims = dims[:position] + (None,) + dims[position + 1 :]
            while dims and dims[-1] is None:
                dims = dims[:-1]
            _DIMS.set(dims)


_DIM_ALLOCATOR = _DimAllocator()


class share_subsamples:
    """Draw each subsampling plate's indices once inside this block, whoever enters the plate, and however often.

    An estimator of the ELBO wraps one step in it, so that model, guide and all particles see one minibatch.

    Args:
        isolated: whether indices drawn outside, and those drawn inside, stay on their side: for runs that only look at
            a model's structure.
        given: indices that are there already, by plate name with the plate's size; isolates as well.
    """

    def __init__(self, isolated: bool = False, given: dict[str, tuple[int, torch.Tensor]] | None = None) -> None:
        self._isolated = isolated or given is not None
        self._given = given

    def __enter__(self) -> share_subsamples:
        self._token: Token[dict[str, tuple[int, torch.Tensor]] | None] | None = None
        if self._isolated or _SUBSAMPLES.get() is None:
            self._token = _SUBSAMPLES.set({} if self._given is None else self._given)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._token is not None:
            _SUBSAMPLES.reset(self._token)


def shared_subsamples() -> dict[str, tuple[int, torch.Tensor]] | None:
    """Return the indices drawn so far in this step by plate name, or None outside `share_subsamples`."""
    return _SUBSAMPLES.get()


class NonlocalExit(Exception):
    """Leaves a run at a site; `queue` and `escape` raise and catch it.

    Args:
        site: the message at which the run was left.
    """

    def __init__(self, site: Message, *args: Any) -> None:
        super().__init__(site, *args)
        self.site = site

    def reset_stack(self) -> None:
        """Let every active handler, innermost first, up to the one that blocks the site, clear its state."""
        for frame in reversed(handlers_in_force()):
            frame._reset()
            hides = getattr(frame, "hide_fn", None)
            if hides is not None and hides(self.site):
                break


def new_message(
    type: str,
    name: str | None,
    fn: Any,
    args: tuple[Any, ...] = (),
    kwargs: dict[str, Any] | None = None,
    value: Any = None,
    is_observed: bool = False,
    infer: dict[str, Any] | None = None,
) -> Message:
    """Return a message with every key that handlers may rely on."""
    return {
        "type": type,
        "name": name,
        "fn": fn,
        "is_observed": is_observed,
        "args": args,
        "kwargs": {} if kwargs is None else kwargs,
        "value": value,
        "scale": 1.0,
        "mask": None,
        "cond_indep_stack": (),
        "done": False,
        "stop": False,
        "continuation": None,
        "infer": {} if infer is None else infer,
        "source": None,
    }


def default_process_message(msg: Message) -> None:
    """Give a message its value by calling its function, unless a handler or an observation gave it one."""
    if msg["done"] or msg["is_observed"] or msg["value"] is not None:
        if msg["is_observed"] and msg["value"] is None:
            raise UsageError(
                f"site '{msg['name']}' is observed, but has no value",
                site=msg["name"],
                source=msg.get("source"),
                expected="obs=data",
                got=None,
                hint="leave 'is_observed' out of infer for a latent site",
            )
        msg["done"] = True
        return
    msg["value"] = msg["fn"](*msg["args"], **msg["kwargs"])
    msg["done"] = True


def apply_stack(initial_msg: Message) -> Message:
    """Send a message up through the handlers (innermost first), act on it, and send it down again.

    Args:
        initial_msg: the message; changed in place.

    Returns:
        the same message, with `value` set.
    """
    handlers = _HANDLERS.get()
    reached = send_up(initial_msg, handlers)
    default_process_message(initial_msg)
    send_down(initial_msg, handlers, reached)
    return initial_msg


def handlers_at_work() -> tuple[Any, ...]:
    """Return the active handlers, the outermost first."""
    return _HANDLERS.get()


def send_up(msg: Message, handlers: Sequence[Any]) -> int:
    """Show a message to handlers, the innermost (last) first, and return the position at which one stopped it."""
    reached = len(handlers)
    while reached:
        reached -= 1
        handlers[reached]._process_message(msg)
        if msg["stop"]:
            break
    return reached


def send_down(msg: Message, handlers: Sequence[Any], reached: int) -> None:
    """Show a message that has its value to the handlers that `send_up` came to, the outermost first."""
    for position in range(reached, len(handlers)):
        handlers[position]._postprocess_message(msg)
    continuation = msg["continuation"]
    if continuation is not None:
        continuation(msg)


def am_i_wrapped() -> bool:
    """Say whether any handler is active."""
    return bool(_HANDLERS.get())


def effectful(fn: Callable[..., Any] | None = None, type: str | None = None) -> Any:
    """Turn a function into a statement: its calls become messages of the given type.

    Args:
        fn: the function; None to use this as a decorator with arguments.
        type: the message's type; a handler acts on it in its methods `_pyro_<type>` and `_pyro_post_<type>`.

    Returns:
        a function that takes `name`, `infer`, `obs` beside the arguments of `fn`.
    """
    if fn is None:
        return functools.partial(effectful, type=type)
    if getattr(fn, "_is_effectful", False):
        return fn
    if type is None:
        raise UsageError(
            "a statement needs a message type", expected="type: str", got=None, hint="effectful(fn, type='mine')"
        )

    @functools.wraps(fn)
    def statement(*args: Any, **kwargs: Any) -> Any:
        name = kwargs.pop("name", None)
        infer = kwargs.pop("infer", None)
        value = kwargs.pop("obs", None)
        if not am_i_wrapped():
            return fn(*args, **kwargs)
        infer = {} if infer is None else dict(infer)
        msg = new_message(type, name, fn, args, kwargs, value, value is not None, infer)
        return apply_stack(msg)["value"]

    statement._is_effectful = True  # type: ignore[attr-defined]
    return statement


def _inspect() -> Message:
    """Ask the active handlers what they would do to a sample statement here, without making one."""
    msg = new_message("inspect", "_pyro_inspect", lambda: True, infer={"_do_not_trace": True})
    apply_stack(msg)
    return msg


def get_mask() -> bool | torch.Tensor | None:
    """Return the mask that `poutine.mask` handlers put on a site here: None, a bool or a bool tensor.

    A model may skip expensive densities where the mask is False.
    """
    mask: bool | torch.Tensor | None = _inspect()["mask"]
    return mask


def get_plates() -> tuple[CondIndepStackFrame, ...]:
    """Return the plates that a site here would stand in, outermost first."""
    return _inspect()["cond_indep_stack"]
