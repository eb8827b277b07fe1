"""`enum` and `markov`: run a model once for all values of its discrete sites, along batch dimensions of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch

from pyroxene.errors import PlateError, ShapeError, UnsupportedError, UsageError
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.message import Message
from pyroxene.poutine.messenger import Messenger, ReentrantMessenger
from pyroxene.poutine.trace_struct import site_is_subsample

__all__ = ["EnumMessenger", "MarkovMessenger", "enum", "enumerate_site", "markov"]


class _Allocated(NamedTuple):
    """What the latest enumeration has taken, for one that continues it."""

    next_dim: int
    next_id: int
    dim_to_id: dict[int, int]


_LATEST: ContextVar[_Allocated] = ContextVar("pyroxene_enumerated", default=_Allocated(-1, 0, {}))  # noqa: B039


def enumerate_site(msg: Any) -> torch.Tensor:
    """Return all values of a discrete site, or samples that stand for them, along a new leftmost dimension.

    Args:
        msg: the site. Of its `infer` dict are read: "num_samples", draw so many in the place of all values; "expand",
            whether the values span the batch shape; and "tmc".

    Samples of a site whose distribution has been enumerated along earlier sites' dimensions are thinned to one for each
    new index: "diagonal" takes the sample at the same index of every earlier site, "mixture" at a random index.

    Raises:
        UsageError: unknown "tmc".
        ShapeError: "diagonal" with another num_samples than the earlier sites'.

    Source: L. Aitchison (2019), Tensor Monte Carlo: particle methods for the GPU era, equations 9 and 14.
    """
    fn, infer = msg["fn"], msg["infer"]
    num_samples = infer.get("num_samples")
    if num_samples is None:
        values: torch.Tensor = fn.enumerate_support(expand=infer.get("expand", False))
        return values
    samples: torch.Tensor = fn(sample_shape=torch.Size((num_samples,)))
    return samples if infer.get("expand") else _thin(msg, samples, infer.get("tmc", "diagonal"))


def _thin(msg: Any, samples: torch.Tensor, strategy: str) -> torch.Tensor:
    """Drop the dimensions of earlier sites: those of the batch that are neither singletons nor a plate's."""
    if strategy not in ("diagonal", "mixture"):
        raise UsageError(
            f"{strategy} is no valid TMC strategy",
            site=msg["name"],
            source=msg.get("source"),
            expected="infer={'tmc': 'diagonal'} or 'mixture'",
            got=strategy,
        )
    batch_shape = msg["fn"].batch_shape
    plates = {frame.dim for frame in msg["cond_indep_stack"]}
    num_samples, depth = len(samples), len(batch_shape)
    index: list[Any] = [torch.arange(num_samples).reshape((-1,) + (1,) * depth)]
    earlier = False
    for position, size in enumerate(batch_shape):
        dim = position - depth
        if size == 1 or dim in plates:
            index.append(torch.arange(size).reshape((-1,) + (1,) * (-1 - dim)))
            continue
        earlier = True
        if strategy == "mixture":
            chosen = torch.multinomial(torch.ones(1, size), num_samples, replacement=True)
        elif size == num_samples:
            chosen = torch.arange(size)
        else:
            raise ShapeError(
                f"site '{msg['name']}' takes other samples than the site it depends on",
                site=msg["name"],
                source=msg.get("source"),
                expected=f"num_samples = {size}",
                got=num_samples,
                hint="give all sites the same num_samples, or infer={'tmc': 'mixture'}",
            )
        index.append(chosen.reshape(index[0].shape))
    return samples[tuple(index)] if earlier else samples


class EnumMessenger(Messenger):
    """Enumerates sites marked `infer={"enumerate": "parallel"}` along batch dimensions of their own; final.

    Args:
        first_available_dim: the rightmost batch dimension that no plate uses, negative; None continues left of all that
            the enumeration before this one used, as a model's does after its guide's.

    A site outside of `markov` loops takes the next dimension to the left. One inside takes the first that no site which
    it can see uses, so that long loops need few dimensions. Every site's `infer["_dim_to_id"]` says whose values lie
    along which dimension.
    """

    def __init__(self, first_available_dim: int | None = None) -> None:
        super().__init__()
        if first_available_dim is not None and first_available_dim >= 0:
            raise UsageError(
                "enum counts dimensions from the right",
                expected="first_available_dim < 0",
                got=first_available_dim,
                hint="-1 - max_plate_nesting",
            )
        self.first_available_dim = first_available_dim
        self._reset()

    def _reset(self) -> None:
        first = self.first_available_dim
        begin = _LATEST.get() if first is None else _Allocated(first, 0, {})
        self._first_dim = self._next_dim = begin.next_dim
        self._next_id = begin.next_id
        self._global_ids = dict(begin.dim_to_id)  # of sites outside of markov loops: visible to all
        self._leftmost = begin.next_dim + 1
        self._depths: dict[str, int] = {}  # of sites in markov loops
        self._value_ids: dict[str, dict[int, int]] = {}  # the dimensions along which their values vary
        self._pending: dict[str, tuple[dict[int, int], int | None]] = {}  # of sites on their way: visible ids, depth

    def __enter__(self) -> EnumMessenger:
        self._reset()
        super().__enter__()
        _LATEST.set(_Allocated(self._next_dim, self._next_id, self._global_ids))
        return self

    def _visible(self, msg: Message) -> dict[int, int]:
        """Return the dimensions of the values that a site may depend on."""
        ids = dict(self._global_ids)
        for name, depth in msg["infer"].get("_markov_scope", {}).items():
            if self._depths.get(name) != depth:  # an inner loop has ended since
                continue
            for dim, identity in self._value_ids[name].items():
                if ids.setdefault(dim, identity) != identity:
                    raise UnsupportedError(
                        f"two sites that site '{msg['name']}' may depend on are enumerated along one dimension",
                        site=msg["name"],
                        source=msg.get("source"),
                        expected="sites at one level that do not see each other",
                        got=f"'{name}' and another site at dim {dim}",
                        hint="markov(keep=False)",
                    )
        return ids

    def _allocate(self, infer: Any, visible: dict[int, int]) -> int:
        if "_markov_scope" in infer:
            dim = self._first_dim
            while dim in visible:
                dim -= 1
        else:
            dim = self._next_dim
            self._next_dim -= 1
            self._global_ids[dim] = self._next_id
        visible[dim] = self._next_id
        self._next_id += 1
        self._leftmost = min(self._leftmost, dim)
        _LATEST.set(_Allocated(self._leftmost - 1, self._next_id, self._global_ids))
        return dim

    def _pyro_sample(self, msg: Message) -> None:
        if site_is_subsample(msg):
            return
        infer = msg["infer"]
        infer["_dim_to_id"] = visible = self._visible(msg)
        self._pending[msg["name"]] = visible, infer.get("_markov_depth")
        if msg["done"] or msg["is_observed"] or infer.get("enumerate") != "parallel":
            return
        self._check(msg)
        value = enumerate_site(msg)
        infer["_enumerate_dim"] = dim = self._allocate(infer, visible)
        msg["value"] = _move(value, dim, len(msg["fn"].batch_shape), len(msg["fn"].event_shape))
        msg["done"] = True

    def _check(self, msg: Message) -> None:
        fn = msg["fn"]
        if not getattr(fn, "has_enumerate_support", False) and msg["infer"].get("num_samples") is None:
            raise UnsupportedError(
                f"site '{msg['name']}' is marked for enumeration, but its values cannot be enumerated",
                site=msg["name"],
                source=msg.get("source"),
                expected="a discrete distribution of finite support",
                got=fn,
                hint="leave 'enumerate' out of infer, or ask for infer={'num_samples': ...}",
            )
        for frame in msg["cond_indep_stack"]:
            if frame.dim is not None and frame.dim <= self._first_dim:
                raise PlateError(
                    f"plate '{frame.name}' is among the dimensions for enumeration",
                    site=msg["name"],
                    plate=frame.name,
                    source=msg.get("source"),
                    expected=f"dim > {self._first_dim}",
                    got=frame.dim,
                    hint="lower first_available_dim, or raise max_plate_nesting",
                )

    def _pyro_post_sample(self, msg: Message) -> None:
        name, infer, value = msg["name"], msg["infer"], msg["value"]
        if name not in self._pending:
            return
        visible, depth = self._pending.pop(name)
        ids = {**infer.get("_dim_to_id", {}), **visible}  # where the value was replayed, also another run's
        infer["_dim_to_id"] = ids
        batch = getattr(value, "shape", ())
        batch = batch[: len(batch) - len(getattr(msg["fn"], "event_shape", ()))]
        varying = {dim: identity for dim, identity in ids.items() if -dim <= len(batch) and batch[dim] > 1}
        if depth is None:
            self._global_ids.update(varying)
        else:
            self._depths[name], self._value_ids[name] = depth, varying


def _move(value: torch.Tensor, dim: int, batch_dim: int, event_dim: int) -> torch.Tensor:
    """Move the leftmost dimension, which enumerates, to a batch dimension of size 1 or left of the batch shape."""
    position = dim - event_dim
    gap = -1 - batch_dim - dim
    if gap >= 0:
        return value.reshape(value.shape[:1] + (1,) * gap + value.shape[1:])
    value = value.transpose(0, position)
    while value.dim() > -position and value.size(0) == 1:
        value = value.squeeze(0)
    return value


class MarkovMessenger(ReentrantMessenger):
    """Records that a loop's round depends on the last few only; final. See `markov`.

    Sites inside carry `infer["_markov_depth"]`, the number of markov contexts around them, and
    `infer["_markov_scope"]`: the name of each site that they may depend on -> the number of contexts that let them.
    """

    def __init__(self, history: int = 1, keep: bool = False, dim: int | None = None, name: str | None = None) -> None:
        super().__init__()
        if not isinstance(history, int) or history < 0:
            raise UsageError("markov remembers a number of rounds", expected="history >= 0", got=history)
        if dim is not None:
            raise UnsupportedError(
                "markov takes no dim: time steps that are a batch dimension are not recorded",
                expected="dim=None",
                got=dim,
                hint="a sequential markov loop",
            )
        self.history = history
        self.keep = keep
        self.dim = dim
        self.name = name
        self._iterable: Iterable[Any] = ()
        self._rounds: list[set[str]] = []  # the sites of each round that is open, or kept
        self._position = -1  # of the current round

    def generator(self, iterable: Iterable[Any]) -> MarkovMessenger:
        """Return this context, to be looped over."""
        self._iterable = iterable
        return self

    def __enter__(self) -> MarkovMessenger:
        super().__enter__()
        self._position += 1
        if self._position == len(self._rounds):
            self._rounds.append(set())
        return self

    def __exit__(self, *exc: Any) -> None:
        if not self.keep:
            self._rounds.pop()
        self._position -= 1
        super().__exit__(*exc)

    def __iter__(self) -> Iterator[Any]:
        with ExitStack() as rounds:
            for item in self._iterable:
                rounds.enter_context(self)
                yield item

    def _pyro_sample(self, msg: Message) -> None:
        if msg["done"] or site_is_subsample(msg):
            return
        infer = msg["infer"]
        infer["_markov_depth"] = 1 + infer.get("_markov_depth", 0)
        scope = infer.setdefault("_markov_scope", Counter())
        for sites in self._rounds[max(0, self._position - self.history) : self._position + 1]:
            scope.update(sites)
        self._rounds[self._position].add(msg["name"])


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
        keep: whether the sites of a round stay visible to later ones at the same level: sibling calls of a recursive
            function, or several `with` blocks of one context, which are independent of each other otherwise.
        dim: None; another value is refused.
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
    raise UsageError(
        "markov wraps a function or an iterable", expected="one of them", got=fn, hint=f"markov(range({fn}))"
    )
