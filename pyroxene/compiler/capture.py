"""The recorder: runs a function once on real tensors and writes down, as a graph, what depends on its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Graph, Node
from pyroxene.compiler.lowering import RULES, Call
from pyroxene.errors import CaptureError, Source, user_source

__all__ = ["UnsupportedOperation", "capture", "double_precision"]

_NARROW = (torch.float32, torch.float16, torch.bfloat16)

LIMIT = 20_000
"""Beyond so many operations an unrolled program is refused: building it would take too long."""

_HOST_READS = frozenset({"tolist", "numpy", "__array__", "__dlpack__"})
_VALUE_SHAPED = frozenset(
    {"nonzero", "nonzero_static", "masked_select", "unique", "_unique", "_unique2", "unique_dim", "unique_consecutive"}
)
_RESHAPES = frozenset({"squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_", "as_strided_"})
"""In place, but of shape and strides alone: a tensor is read by these, so there is nothing to record."""
_OTHER_ENGINES = "the engines 'inductor' and 'eager' run it"


class UnsupportedOperation(CaptureError):
    """The function uses an operation that the graph has no rule for; another engine runs it."""


def _wide(value: Any) -> Any:
    return torch.float64 if value in _NARROW else value


def _widened(func: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a call with float64 for narrower types, and for the default of factories."""
    dtype = kwargs.get("dtype", _widened)
    if dtype is None or dtype is _widened:
        if dtype is None or func in _FACTORIES:
            return {**kwargs, "dtype": torch.float64} if func in _FACTORIES else kwargs
        return kwargs
    return {**kwargs, "dtype": _wide(dtype)} if dtype in _NARROW else kwargs


_aten = torch.ops.aten
_FACTORIES = {
    getattr(getattr(_aten, name), overload)
    for name, overload in (
        ("zeros", "default"),
        ("ones", "default"),
        ("empty", "memory_format"),
        ("eye", "default"),
        ("eye", "m"),
        ("linspace", "default"),
        ("rand", "default"),
        ("randn", "default"),
    )
}


class _Functions(TorchFunctionMode):
    """Above dispatch: makes factories parse numbers as float64, and sees what reads tensors past the dispatcher."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in _NARROW:
            kwargs["dtype"] = torch.float64
        name = getattr(func, "__name__", "")
        if name in _HOST_READS and isinstance(args[0], torch.Tensor) and _cell_of(args[0]) is not None:
            raise _refuse(f"Tensor.{name}() reads a value that depends on the unknowns")
        if name in ("float", "double", "half", "bfloat16") and isinstance(args[0], torch.Tensor):
            return args[0].to(torch.float64)
        if name in ("to", "type") and any(a in _NARROW for a in args if isinstance(a, torch.dtype)):
            args = tuple(_wide(a) if isinstance(a, torch.dtype) else a for a in args)
        if name in _PARSE and "dtype" not in kwargs and _has_float((*args, *kwargs.values())):
            kwargs["dtype"] = torch.float64
        return func(*args, **kwargs)


def _has_float(value: Any) -> bool:
    """Say whether Python floats are among what a factory is to parse: as float32 they would lose digits."""
    if isinstance(value, (list, tuple)):
        return any(_has_float(item) for item in value)
    return isinstance(value, float)


_PARSE = frozenset({"tensor", "as_tensor", "full", "arange", "scalar_tensor", "asarray", "logspace", "linspace"})


class _Cell:
    """What the storage of a recorded tensor holds, row-major; writing in place changes it for every view."""

    __slots__ = ("node", "recorder")

    def __init__(self, node: Node, recorder: _Recorder) -> None:
        self.node = node
        self.recorder = recorder


def _cell_of(tensor: torch.Tensor) -> _Cell | None:
    return getattr(tensor, "_pyroxene_cell", None)


def _refuse(what: str, hint: str | None = None) -> CaptureError:
    return CaptureError(what, source=user_source(3), hint=hint or "the eager engine runs it: engine='eager'")


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _map(function: Callable[[torch.Tensor], Any], value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map(function, item) for item in value)
    return value


class _Recorder(TorchDispatchMode):
    """Sees each operation below autograd; with no inputs it only widens to float64."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import torch._dynamo, 1 to 3 seconds; tests/compiler/test_capture.py guards it

    def __init__(self, recording: bool) -> None:
        super().__init__()
        self.recording = recording
        self.b = Builder()
        self.made: dict[int, list[torch.Tensor]] = {}  # by storage, what was made during the recording
        self.pure: set[int] = set()  # storages of those that were made from nothing older
        self.wide: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # older tensors by id, and as float64
        self.slots: dict[int, tuple[torch.Tensor, Node]] = {}  # storages bound as data
        self.count = 0
        self.source: Source | None = None

    # tensors and nodes

    def track(self, tensor: torch.Tensor, node: Node) -> None:
        """Let a tensor, contiguous and of its own storage, stand for a node."""
        tensor._pyroxene_cell = _Cell(node, self)  # type: ignore[attr-defined]

    def is_tracked(self, tensor: torch.Tensor) -> bool:
        cell = _cell_of(tensor)
        return cell is not None and cell.recorder is self

    def node(self, tensor: torch.Tensor) -> Node:
        """Return the node of a tensor, tracked or not."""
        cell = _cell_of(tensor)
        if cell is None or cell.recorder is not self:
            return self.constant(tensor)
        if tensor.numel() == 0:
            return self.b.expand(self.b.literal(0, cell.node.kind), tuple(tensor.shape))
        return self.b.view(cell.node, tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))

    def constant(self, tensor: torch.Tensor) -> Node:
        """Return a node for a tensor that does not depend on the arguments."""
        shape = tuple(tensor.shape)
        kind = "f" if tensor.is_floating_point() else "b" if tensor.dtype == torch.bool else "i"
        if tensor.is_complex():
            raise UnsupportedOperation("complex numbers have no native form", source=self.source)
        if tensor.numel() == 0:
            return self.b.expand(self.b.literal(0, kind), shape)
        storage = tensor.untyped_storage()
        if storage._cdata in self.pure:
            first = tensor.flatten()[0] if tensor.dim() else tensor
            same = all(s == 0 or n == 1 for s, n in zip(tensor.stride(), shape)) or bool((tensor == first).all())
            if same:
                return self.b.expand(self.b.literal(first.item(), kind), shape)
        known = self.slots.get(storage._cdata)
        if known is None:
            flat = torch.as_strided(tensor.detach(), (storage.nbytes() // tensor.element_size(),), (1,), 0)
            flat = flat.to({"f": torch.float64, "i": torch.int64, "b": torch.bool}[kind])
            known = self.slots[storage._cdata] = (tensor, self.b.constant(flat))
        return self.b.view(known[1], shape, tuple(tensor.stride()), int(tensor.storage_offset()))

    def _old(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return a tensor as float64, once for each that is older than the recording."""
        if tensor.dtype not in _NARROW:
            return tensor
        if _cell_of(tensor) is not None:
            return tensor
        known = self.wide.get(id(tensor))
        if known is None:
            known = self.wide[id(tensor)] = (tensor, tensor.to(torch.float64))
        return known[1]

    # dispatch

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = _widened(func, kwargs or {})
        given = list(_tensors(args))
        if any(tensor.dtype in _NARROW for tensor in given):
            if func._schema.is_mutable and args[0].dtype in _NARROW:
                raise _refuse("a tensor older than the call is written in place", "write to a clone of it")
            args = _map(self._old, args)
            given = list(_tensors(args))
        if kwargs:
            kwargs = {key: _map(self._old, value) for key, value in kwargs.items()}
            given.extend(_tensors(kwargs.values()))
        if not self.recording:
            return func(*args, **kwargs)
        if any(self.is_tracked(tensor) for tensor in given):
            return self._record(func, args, kwargs, given)
        return self._compute(func, args, kwargs, given)

    def _compute(self, func: Any, args: Any, kwargs: Any, given: list[torch.Tensor]) -> Any:
        """Run an operation on what does not depend on the arguments, remembering what is made from nothing older."""
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _refuse(f"{func} draws random numbers, and a recording would freeze them", "give it as an argument")
        if func._schema.is_mutable and given:
            if func is not _aten.lift_fresh.default and not self._is_ours(args[0]):
                raise _refuse("a tensor older than the call is written in place", "write to a clone of it")
            self._unbind(args[0])
        given_storages = {tensor.untyped_storage()._cdata for tensor in given}
        pure = func is _aten.lift_fresh.default or given_storages <= self.pure
        result = func(*args, **kwargs)
        for tensor in _tensors((result,)):
            storage = tensor.untyped_storage()._cdata
            if storage in given_storages and storage not in self.made and func is not _aten.lift_fresh.default:
                continue  # a view of something older
            self.made.setdefault(storage, []).append(tensor)
            if pure:
                self.pure.add(storage)
        return result

    def _is_ours(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.made

    def _unbind(self, tensor: torch.Tensor) -> None:
        """Forget the slot of a storage that is written to; what was bound keeps the old values."""
        known = self.slots.pop(tensor.untyped_storage()._cdata, None)
        if known is not None:
            node = known[1]
            self.b.data[node.attributes[0]] = self.b.data[node.attributes[0]].clone()

    def _record(self, func: Any, args: Any, kwargs: Any, given: list[torch.Tensor]) -> Any:
        schema = func._schema
        name = schema.name.rpartition("::")[2]
        self.source = self.b.source = user_source(3)
        self.b.note = name
        self._forbid(func, name)
        if name in _RESHAPES:
            return func(*args, **kwargs)
        if schema.is_mutable:
            return self._write(func, name, args, kwargs)
        if _is_view(schema):
            result = func(*args, **kwargs)
            for tensor in _tensors((result,)):
                tensor._pyroxene_cell = _cell_of(args[0])  # type: ignore[attr-defined]
            return result
        return self._call(func, name, args, kwargs)

    def _forbid(self, func: Any, name: str) -> None:
        if name == "_local_scalar_dense":
            raise _refuse("a branch, or a number, depends on the value of an unknown", "torch.where chooses by value")
        if name in _VALUE_SHAPED or name in ("equal", "allclose"):
            raise _refuse(f"{name}() depends on the values of the unknowns, not only on their shapes")
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _refuse(f"{func} draws random numbers, and a recording would freeze them")
        self.count += 1
        if self.count > LIMIT:
            raise _refuse(
                f"the program unrolls to more than {LIMIT} operations",
                "write the loop with pyroxene.scan, which is recorded once",
            )

    def _call(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        rule = RULES.get(name)
        if rule is None:
            return self._decomposed(func, args, kwargs)
        result = func(*args, **kwargs)
        if name == "_linalg_check_errors":
            return result
        if isinstance(result, torch.Tensor):
            if not result.is_contiguous():
                result = result.contiguous()
            self.track(result, self._lower(rule, name, result, args, kwargs))
            return result
        results = [r.contiguous() if isinstance(r, torch.Tensor) else r for r in result]
        nodes = self._lower(rule, name, results, args, kwargs)
        for tensor, node in zip(results, nodes):
            if node is None:  # an index or a status: may be looked at, and must not be computed with
                self.made[tensor.untyped_storage()._cdata] = [tensor]
            else:
                self.track(tensor, node)
        return type(result)(results) if type(result) in (tuple, list) else type(result)(*results)

    def _lower(self, rule: Any, name: str, result: Any, args: Any, kwargs: Any) -> Any:
        nodes = _map(self.node, args)
        named = {key: _map(self.node, value) for key, value in kwargs.items() if key not in ("dtype", "memory_format")}
        lowered = rule(Call(self.b, result), *nodes, **named)
        if lowered is NotImplemented:
            hint = "torch.where chooses by value with shapes that stay" if name == "index" else _OTHER_ENGINES
            raise UnsupportedOperation(f"this form of torch's {name} has no native form", source=self.source, hint=hint)
        if isinstance(lowered, Node) and isinstance(result, torch.Tensor):
            assert lowered.shape == tuple(result.shape), (name, lowered, result.shape)
        return lowered

    def _decomposed(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation without a rule as those that PyTorch says it is made of."""
        if func is _aten._linalg_check_errors.default:
            return func(*args, **kwargs)
        from torch._decomp import decomposition_table

        made_of = decomposition_table.get(func)
        if made_of is None:
            raise UnsupportedOperation(f"{func} has no native form", source=self.source, hint=_OTHER_ENGINES)
        with self:
            return made_of(*args, **kwargs)

    def _write(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """Record a write in place: the written tensor's storage holds another node from here on."""
        target = args[0]
        if not self.is_tracked(target):
            if not self._is_ours(target):
                raise _refuse("a tensor older than the call is written in place", "write to a clone of it")
            self._promote(target)
        base = name.removesuffix("_")
        rule = RULES.get(base)
        if not name.endswith("_") or rule is None:
            raise UnsupportedOperation(f"torch's {name} has no native form", source=self.source, hint=_OTHER_ENGINES)
        value = self._lower(rule, base, target, args, kwargs)
        func(*args, **kwargs)
        cell = _cell_of(target)
        assert cell is not None
        if target.numel() == cell.node.size and target.is_contiguous():
            cell.node = self.b.reshape(value, cell.node.shape)
        else:
            cell.node = self._replaced(cell.node, target, value)
        return target

    def _replaced(self, whole: Node, target: torch.Tensor, value: Node) -> Node:
        """Return a storage's node with the elements of a view of it replaced."""
        b = self.b
        place = (tuple(target.stride()), int(target.storage_offset()))
        mask = torch.zeros(whole.size, dtype=torch.bool)
        torch.as_strided(mask, tuple(target.shape), *place).fill_(True)
        spread = b.assemble([value], [place], (whole.size,), True)
        flat = b("where", b.table(mask), spread, b.reshape(whole, (whole.size,)))
        return b.reshape(flat, whole.shape)

    def _promote(self, target: torch.Tensor) -> None:
        """Start to track a tensor made during the recording, its views made so far included."""
        storage = target.untyped_storage()
        flat = torch.as_strided(target, (storage.nbytes() // target.element_size(),), (1,), 0)
        cell = _Cell(self.constant(flat.clone()), self)
        for tensor in [*self.made.get(storage._cdata, ()), target]:
            tensor._pyroxene_cell = cell
        self.slots.pop(storage._cdata, None)


_VIEWS: dict[Any, bool] = {}


def _is_view(schema: Any) -> bool:
    known = _VIEWS.get(schema.name)
    if known is None:
        known = _VIEWS[schema.name] = any(
            r.alias_info is not None and not r.alias_info.is_write for r in schema.returns
        ) and schema.name not in ("aten::contiguous", "aten::reshape", "aten::_to_copy")
    return known


@contextmanager
def double_precision() -> Iterator[None]:
    """Run what is inside in float64: older tensors are widened at first use, new ones made wide."""
    with _Functions(), _Recorder(recording=False):
        yield


def capture(function: Callable[..., torch.Tensor], arguments: Sequence[torch.Tensor]) -> Graph:
    """Record a function of tensors as a graph.

    Args:
        function: pure; called once, on copies of the arguments.
        arguments: float64 tensors; what depends on them is recorded, and all else is constant.

    Returns:
        a graph with one input for each argument, and the function's result as output.

    Raises:
        CaptureError: the function branches on a value, reads one on the host, draws random numbers, writes to a tensor
            older than the call, or unrolls to too many operations. The message names the user's line.
        UnsupportedOperation: it uses an operation that has no rule.
    """
    recorder = _Recorder(recording=True)
    inputs = []
    for argument in arguments:
        copy = argument.detach().to(torch.float64).contiguous().clone()
        recorder.track(copy, recorder.b.input(tuple(copy.shape)))
        inputs.append(copy)
    with torch.no_grad(), _Functions(), recorder:
        result = function(*inputs)
    results = (result,) if isinstance(result, torch.Tensor) else tuple(result)
    return recorder.b.graph([recorder.node(tensor) for tensor in results])
