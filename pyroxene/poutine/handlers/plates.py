"""Plates: conditional independence, as a batch dimension or as a loop, with subsampling and automatic dimensions."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from pyroxene.distributions.distribution import Distribution
from pyroxene.errors import EmptyPlateError, PlateError, ShapeError, UsageError
from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.message import CondIndepStackFrame, Message
from pyroxene.poutine.messenger import Messenger, block_messengers
from pyroxene.poutine.runtime import _DIM_ALLOCATOR, apply_stack, new_message, shared_subsamples

__all__ = [
    "BroadcastMessenger",
    "IndepMessenger",
    "PlateMessenger",
    "SubsampleMessenger",
    "_Subsample",
    "block_plate",
    "broadcast",
]


def _empty(name: str, size: object) -> EmptyPlateError:
    return EmptyPlateError(
        f"plate '{name}' is empty",
        plate=name,
        expected="size > 0",
        got=size,
        hint="leave the plate out where there is nothing in it",
    )


class IndepMessenger(Messenger):
    """Declares sites conditionally independent along a batch dimension, or along a loop.

    Args:
        name: the plate's name.
        size: how many; -1 or None where that is unknown.
        dim: the batch dimension, negative; None takes the rightmost one that is free at the first entry.
        device: where the indices live.
    """

    def __init__(self, name: str, size: int | None = None, dim: int | None = None, device: Any = None) -> None:
        super().__init__()
        if size == 0:
            raise _empty(name, size)
        self.name = name
        self.size: Any = -1 if size is None else size
        self.dim = dim
        self.device = device
        self.counter = 0
        self._vectorized: bool | None = None if dim is None else True
        self._indices: Any = None
        self._here = self._frame()

    def next_context(self) -> None:
        """Move a sequential plate on by one."""
        self.counter += 1

    def _reset(self) -> None:
        self.counter = 0

    @property
    def indices(self) -> Any:
        """The indices that the plate runs over, shape (size,), integers."""
        if self._indices is None:
            if isinstance(self.size, int) and self.size < 0:
                raise PlateError(
                    f"plate '{self.name}' has no indices, for its size is unknown",
                    plate=self.name,
                    expected="size: int",
                    got=None,
                    hint=f"plate({self.name!r}, len(data))",
                )
            self._indices = torch.arange(self.size, dtype=torch.long).to(self.device)
        return self._indices

    def __enter__(self) -> Any:
        if self._vectorized is not False:
            self._vectorized = True
            self.dim = _DIM_ALLOCATOR.allocate(self.name, self.dim)
        self._here = self._frame()
        return super().__enter__()

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if self._vectorized:
            _DIM_ALLOCATOR.free(self.name, self.dim)  # type: ignore[arg-type]
        if exc_value is not None:  # tell error messages which plates the statement stood in, innermost first
            exc_value.__dict__.setdefault("_pyroxene_plates", []).append(self.name)
        super().__exit__(exc_type, exc_value, traceback)

    def __iter__(self) -> Iterator[int]:
        if self._vectorized:
            raise PlateError(
                f"cannot use plate '{self.name}' both as a batch dimension and as a loop",
                plate=self.name,
                expected="no dim, and no `with`, for a loop",
                got=f"dim {self.dim}",
                hint="make two plates of different names",
            )
        self._vectorized = False
        self.counter = 0
        for index in _as_tensor(self.indices).tolist():
            self.next_context()
            with self:
                yield index

    def _frame(self) -> CondIndepStackFrame:
        return CondIndepStackFrame(self.name, self.dim, self.size, self.counter, None)

    def _process_message(self, msg: Message) -> None:
        msg["cond_indep_stack"] = (self._here, *msg["cond_indep_stack"])


class _Subsample(Distribution):
    """Draws a plate's indices: all of them in order, or a sample without replacement; final."""

    is_subsample = True
    has_rsample = False

    def __init__(self, size: int, subsample_size: int | None, use_cuda: bool | None = None, device: Any = None) -> None:
        self.size = size
        self.subsample_size = subsample_size
        self.device = "cuda" if use_cuda and device is None else device

    def sample(self, sample_shape: Sequence[int] = ()) -> torch.Tensor:
        """Return indices, shape (subsample_size,)."""
        if sample_shape:
            raise UsageError("a plate's indices are drawn one set at a time", got=sample_shape)
        if self.subsample_size is None or self.subsample_size >= self.size:
            indices = torch.arange(self.size)
        else:
            indices = torch.randperm(self.size)[: self.subsample_size].clone()
        return indices if self.device is None else indices.to(self.device)

    def __call__(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return indices, shape (subsample_size,)."""
        return self.sample(*args, **kwargs)

    def log_prob(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return zero: the scale of a subsampled plate stands for this draw."""
        return torch.zeros(())


class SubsampleMessenger(IndepMessenger):
    """An independence context over a subsample, which scales log densities by size / subsample_size."""

    def __init__(
        self,
        name: str,
        size: int | None = None,
        subsample_size: int | None = None,
        subsample: Any = None,
        dim: int | None = None,
        use_cuda: bool | None = None,
        device: Any = None,
    ) -> None:
        if size is None:
            if subsample_size is not None or subsample is not None:
                raise UsageError(
                    f"plate '{name}' subsamples but has no size",
                    plate=name,
                    expected="size: int",
                    got=None,
                    hint=f"plate({name!r}, len(data), subsample_size=...)",
                )
            self.subsample_size: Any = -1
        else:
            size = _size_of(name, "size", size)
            if subsample_size is not None:
                subsample_size = _size_of(name, "subsample_size", subsample_size, size)
            subsample = _indices(name, size, subsample_size, subsample, use_cuda, device)
            self.subsample_size = _count(name, subsample, subsample_size)
        super().__init__(name, size, dim, device)
        self._indices = subsample
        self._scale = None if self.subsample_size == self.size else self.size / self.subsample_size

    def _frame(self) -> CondIndepStackFrame:
        return CondIndepStackFrame(self.name, self.dim, self.subsample_size, self.counter, self.size)

    def _process_message(self, msg: Message) -> None:
        msg["cond_indep_stack"] = (self._here, *msg["cond_indep_stack"])
        if self._scale is not None:
            msg["scale"] = msg["scale"] * self._scale

    def _postprocess_message(self, msg: Message) -> None:
        """Cut a full-size parameter or data tensor down to the subsample."""
        if msg["type"] not in ("param", "subsample") or self.dim is None:
            return
        event_dim = msg["kwargs"].get("event_dim")
        if event_dim is None:
            return
        value = msg["value"]
        dim = self.dim - event_dim
        if value.dim() < -dim or value.size(dim) == 1:
            return
        if value.size(dim) != self.size and self.size != -1:
            what = f"param '{msg['name']}'" if msg["type"] == "param" else "subsample(data, event_dim)"
            raise PlateError(
                f"{what} does not fit plate '{self.name}' along dim {dim}",
                site=msg["name"],
                plate=self.name,
                expected=f"size {self.size}, the plate's full size",
                got=f"size {value.size(dim)} of shape {tuple(value.shape)}",
                hint="check event_dim, and the order of the dimensions",
            )
        if self._scale is not None:
            taken = value.index_select(dim, _as_tensor(self.indices).to(value.device))
            if msg["type"] == "param":
                taken.unconstrained = value.unconstrained
            msg["value"] = taken


def _size_of(name: str, what: str, size: Any, limit: Any = None) -> Any:
    """Check a plate's size; sizes of other libraries, such as numpy's, become int, tensors (of a tracer) stay."""
    if not isinstance(size, (torch.Tensor, torch.SymInt)):
        try:
            size = int(size) if isinstance(size, float) and size.is_integer() else operator.index(size)
        except TypeError:
            raise PlateError(
                f"the {what} of plate '{name}' is no integer", plate=name, expected="an int", got=size, hint="len(data)"
            ) from None
    if size <= 0:
        raise _empty(name, size)
    if limit is not None and size > limit:
        raise PlateError(
            f"{what} does not match: plate '{name}' is to draw more than it has",
            plate=name,
            expected=f"{what} <= {limit}",
            got=size,
            hint=f"min({what}, {limit})",
        )
    return size


def _as_tensor(indices: Any) -> torch.Tensor:
    return indices if isinstance(indices, torch.Tensor) else torch.as_tensor(list(indices))


def _indices(name: str, size: Any, subsample_size: Any, given: Any, use_cuda: bool | None, device: Any) -> Any:
    """Return a plate's indices, given or drawn, unless a handler decides; they are a site named like the plate."""
    msg = new_message("sample", name, _Subsample(size, subsample_size, use_cuda, device))
    if given is not None:
        msg["value"] = tensor = _as_tensor(given)
        decided = apply_stack(msg)["value"]
        return given if decided is tensor else decided
    drawn = shared_subsamples() if subsample_size is not None and subsample_size < size else None
    if drawn is not None and name in drawn:
        known, indices = drawn[name]
        if known != size or len(indices) != subsample_size:
            raise PlateError(
                f"subsample_size of plate '{name}' does not match its first use in this step, "
                f"{subsample_size} vs {len(indices)}",
                plate=name,
                expected=f"{len(indices)} of {known}",
                got=f"{subsample_size} of {size}",
                hint="give model and guide the same size and subsample_size",
            )
        msg["value"] = indices
    indices = apply_stack(msg)["value"]
    if drawn is not None:
        drawn[name] = (size, indices)
    return indices


def _count(name: str, indices: Any, subsample_size: Any) -> Any:
    """Return how many indices there are, which must be as many as were asked for."""
    count = len(indices)
    if subsample_size is not None and subsample_size != count and isinstance(subsample_size, int):
        raise PlateError(
            f"subsample_size of plate '{name}' does not match len(subsample), {subsample_size} vs {count}; "
            "is it another in the model than in the guide?",
            plate=name,
            expected=f"{subsample_size} indices",
            got=f"{count} indices",
            hint="give model and guide the same subsample_size",
        )
    return count


class BroadcastMessenger(Messenger):
    """Expands distributions to the plates that their sites stand in. See `broadcast`."""

    @staticmethod
    def _pyro_sample(msg: Message) -> None:
        fn = msg["fn"]
        if msg["done"] or msg["type"] != "sample" or not isinstance(fn, Distribution):
            return
        shape = getattr(fn, "batch_shape", None)
        if shape is None:
            return
        target: list[int] | None = None
        for frame in msg["cond_indep_stack"]:
            dim, size = frame.dim, frame.size
            if dim is None or size == -1:
                continue
            have = shape[dim] if len(shape) >= -dim else 1
            if have == size:
                continue
            if have != 1:
                raise ShapeError(
                    f"Shape mismatch inside plate('{frame.name}') at site {msg['name']} dim {dim}, {size} vs {have}",
                    site=msg["name"],
                    plate=frame.name,
                    source=msg.get("source"),
                    expected=f"batch_shape[{dim}] = {size} or 1",
                    got=f"{have}, of batch_shape {tuple(shape)}, event_shape {tuple(getattr(fn, 'event_shape', ()))}",
                    hint="give the plate the data's size or another dim, or declare the dimension with .to_event(1)",
                )
            if target is None:
                target = list(shape)
            if len(target) < -dim:
                target[:0] = [1] * (-dim - len(target))
            target[dim] = size
        if target is not None:
            msg["fn"] = fn.expand(torch.Size(target))  # type: ignore[attr-defined]


class PlateMessenger(SubsampleMessenger):
    """A plate, which also expands distributions to its size: `pyroxene.plate` is this class with its documentation."""

    def __enter__(self) -> Any:
        super().__enter__()
        return self._indices

    def _process_message(self, msg: Message) -> None:
        msg["cond_indep_stack"] = (self._here, *msg["cond_indep_stack"])
        if self._scale is not None:
            msg["scale"] = msg["scale"] * self._scale
        if msg["type"] == "sample":
            BroadcastMessenger._pyro_sample(msg)


def block_plate(name: str | None = None, dim: int | None = None, *, strict: bool = True) -> AbstractContextManager[Any]:
    """Take one active plate out of force inside a block, to sample a global variable in local code.

    Args:
        name: the plate's name; or
        dim: its batch dimension.
        strict: raise where no such plate is active.

    Raises:
        PlateError: not exactly one of name and dim, or no such plate is active.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> with pyroxene.plate("rows", 3):
        ...     with block_plate("rows"):
        ...         shape = pyroxene.sample("x", dist.Normal(0.0, 1.0)).shape
        >>> shape
        torch.Size([])
    """
    if (name is None) == (dim is None):
        raise PlateError("block_plate takes name or dim", expected="exactly one", got=f"name={name!r}, dim={dim!r}")
    if dim is not None and dim >= 0:
        raise PlateError("block_plate's dim counts from the right", expected="dim < 0", got=dim)

    def wanted(handler: Messenger) -> bool:
        if not isinstance(handler, IndepMessenger):
            return False
        return handler.name == name if name is not None else handler.dim == dim

    return _BlockPlate(wanted, strict, f"name={name!r}" if name is not None else f"dim={dim}")


class _BlockPlate(AbstractContextManager[None]):
    def __init__(self, wanted: Callable[[Messenger], bool], strict: bool, described: str) -> None:
        self._blocked = block_messengers(wanted)
        self._strict = strict
        self._described = described

    def __enter__(self) -> None:
        out = self._blocked.__enter__()
        if self._strict and not out:
            self._blocked.__exit__(None, None, None)
            raise PlateError(
                "block_plate found no active plate", expected=f"a plate with {self._described}", got="none"
            )

    def __exit__(self, *exc: Any) -> None:
        self._blocked.__exit__(*exc)


@_make_handler(BroadcastMessenger)
def broadcast(fn: Callable[..., Any] | None = None) -> Any:
    """Expand each distribution in a model to the plates that its site stands in; plates do so by themselves.

    Args:
        fn: a model.
    """
    raise AssertionError("replaced by the decorator")
