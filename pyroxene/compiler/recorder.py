"""The recorder: sees each operation of a run on real tensors and writes down those that depend on the arguments."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import torch

from pyroxene.compiler.builder import Builder
from pyroxene.compiler.graph import Node
from pyroxene.compiler.lowering import RULES, Call
from pyroxene.compiler.noise import Draw, is_random, random_call
from pyroxene.compiler.precision import WideOperations, map_tensors, tensors_of
from pyroxene.errors import CaptureError, Source, user_source

__all__ = ["CURRENT", "Recorder", "Scope", "UnsupportedOperation", "draws_so_far"]

LIMIT = 20_000
"""Beyond so many operations an unrolled program is refused: building it would take too long."""

_HOST_READS = frozenset({"tolist", "numpy", "__array__", "__dlpack__"})
_VALUE_SHAPED = frozenset(
    {"nonzero", "nonzero_static", "unique", "_unique", "_unique2", "unique_dim", "unique_consecutive"}
)
_RESHAPES = frozenset({"squeeze_", "unsqueeze_", "transpose_", "t_", "swapaxes_", "swapdims_", "as_strided_"})
"""In place, but of shape and strides alone: a tensor is read by these, so there is nothing to record."""

_OTHER_ENGINES = "the engines 'inductor' and 'eager' run it"
_OLDER = "a tensor older than the call is written in place"

_IGNORED = ("dtype", "memory_format")

_aten = torch.ops.aten

CURRENT: ContextVar[Recorder | None] = ContextVar("pyroxene_recorder", default=None)
"""The recorder at work, for operations that are recorded as one, such as `scan`."""


def draws_so_far() -> int:
    """Return how many random operations the recording at work has come to; 0 where there is none."""
    recorder = CURRENT.get()
    return len(recorder.draws) if recorder is not None and recorder.draws is not None else 0


class UnsupportedOperation(CaptureError):
    """The function uses an operation that the graph has no rule for; another engine runs it."""


class Scope:
    """The nodes of one function: of the recorded one, or of the body of a loop in it; final.

    Attributes:
        b: makes its nodes.
        outer: the scope around it.
        lifted: nodes of outer scopes that it reads, and the inputs that stand for them here.
    """

    def __init__(self, b: Builder, outer: Scope | None = None) -> None:
        self.b = b
        self.outer = outer
        self.lifted: dict[int, tuple[Node, Node]] = {}

    def lift(self, node: Node) -> Node:
        """Return the input that stands for a node of the scope around."""
        if node.fixed:
            return node
        known = self.lifted.get(id(node))
        if known is None:
            known = self.lifted[id(node)] = (node, self.b.input(node.shape))
        return known[1]


class _Cell:
    """What the storage of a recorded tensor holds, row-major; writing in place changes it for every view."""

    __slots__ = ("node", "scope")

    def __init__(self, node: Node, scope: Scope) -> None:
        self.node = node
        self.scope = scope


def _cell_of(tensor: torch.Tensor) -> _Cell | None:
    return getattr(tensor, "_pyroxene_cell", None)


def _refuse(what: str, hint: str | None = None) -> CaptureError:
    return CaptureError(what, source=user_source(3), hint=hint or "the eager engine runs it: engine='eager'")


class Recorder(WideOperations):
    """Records the operations on tensors that depend on the tracked ones; final.

    Attributes:
        scope: of the function, or loop body, that is being recorded.
        draws: random operations so far, each with the input that stands for its numbers; None where refused.

    Args:
        random: whether random operations are recorded as functions of noise.
    """

    def __init__(self, random: bool = False) -> None:
        super().__init__()
        self.draws: list[tuple[Draw, Node]] | None = [] if random else None
        self.scope = Scope(Builder())
        self.made: dict[int, list[torch.Tensor]] = {}  # by storage, what was made during the recording
        self.pure: set[int] = set()  # storages of those that were made from nothing older
        self.slots: dict[int, tuple[torch.Tensor, Node]] = {}  # storages bound as data
        self.count = 0
        self.source: Source | None = None

    @property
    def b(self) -> Builder:
        """The builder of the scope at work."""
        return self.scope.b

    # tensors and nodes

    def track(self, tensor: torch.Tensor, node: Node) -> None:
        """Let a tensor, contiguous and of its own storage, stand for a node."""
        tensor._pyroxene_cell = _Cell(node, self.scope)  # type: ignore[attr-defined]

    def is_tracked(self, tensor: torch.Tensor) -> bool:
        """Say whether a tensor depends on the arguments."""
        cell = _cell_of(tensor)
        return cell is not None and self._depth(cell.scope) is not None

    def _depth(self, scope: Scope) -> int | None:
        """Return how many loops stand between a scope and the one at work; None where it is of another recording."""
        depth, at = 0, self.scope
        while at is not scope:
            if at.outer is None:
                return None
            depth, at = depth + 1, at.outer
        return depth

    def node(self, tensor: torch.Tensor) -> Node:
        """Return the node of a tensor, tracked or not."""
        cell = _cell_of(tensor)
        if cell is None or self._depth(cell.scope) is None:
            return self.constant(tensor)
        if tensor.numel() == 0:
            return self.b.expand(self.b.literal(0, cell.node.kind), tuple(tensor.shape))
        seen = (tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))
        return self._reach(cell.scope, cell.scope.b.view(cell.node, *seen))

    def node_in(self, scope: Scope | None, tensor: torch.Tensor) -> Node:
        """Return the node of a tensor in a scope around the one at work."""
        assert scope is not None
        inner, self.scope = self.scope, scope
        try:
            return self.node(tensor)
        finally:
            self.scope = inner

    def _reach(self, scope: Scope, node: Node) -> Node:
        """Return what stands, in the scope at work, for a node of an outer one."""
        path = []
        at = self.scope
        while at is not scope:
            assert at.outer is not None
            path.append(at)
            at = at.outer
        for inner in reversed(path):
            node = inner.lift(node)
        return node

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

    # dispatch

    def look(self, name: str, args: Any) -> None:
        """Refuse what reads a tensor past the dispatcher."""
        if name in _HOST_READS and isinstance(args[0], torch.Tensor) and self.is_tracked(args[0]):
            raise _refuse(f"Tensor.{name}() reads a value that depends on the unknowns")

    def refuse_write(self) -> None:
        raise _refuse(_OLDER, "write to a clone of it")

    def handle(self, func: Any, args: Any, kwargs: Any, given: list[torch.Tensor]) -> Any:
        if self.draws is not None and is_random(func):
            return self._random(func, args, kwargs)
        if any(self.is_tracked(tensor) for tensor in given):
            return self._record(func, args, kwargs, given)
        return self._compute(func, args, kwargs, given)

    def _compute(self, func: Any, args: Any, kwargs: Any, given: list[torch.Tensor]) -> Any:
        """Run an operation on what does not depend on the arguments, remembering what is made from nothing older."""
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise _refuse(f"{func} draws random numbers, and a recording would freeze them", "give it as an argument")
        if func._schema.is_mutable and given:
            if func is not _aten.lift_fresh.default and not self._is_ours(args[0]):
                raise _refuse(_OLDER, "write to a clone of it")
            self._unbind(args[0])
        given_storages = {tensor.untyped_storage()._cdata for tensor in given}
        pure = func is _aten.lift_fresh.default or given_storages <= self.pure
        result = func(*args, **kwargs)
        for tensor in tensors_of((result,)):
            storage = tensor.untyped_storage()._cdata
            if storage in given_storages and storage not in self.made and func is not _aten.lift_fresh.default:
                continue  # a view of something older
            self.made.setdefault(storage, []).append(tensor)
            if pure:
                self.pure.add(storage)
        return result

    def _random(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Record a random operation as a function of numbers that are an input."""
        assert self.draws is not None
        if self.scope.outer is not None:
            raise _refuse(f"{func} draws random numbers inside of a loop", "draw them before it, a row for each step")
        call = random_call(func, args, kwargs)
        start = sum(draw.size for draw, _ in self.draws)
        draw = Draw(call.kind, call.shape, start)
        self.source = self.b.source = user_source(3)
        self.b.note = func._schema.name.rpartition("::")[2]
        numbers = torch.full(call.shape, 0.25, dtype=torch.float64)  # inside of both kinds' range; no stream is touched
        node = Node("input", (), (-1 - len(self.draws),), call.shape, "f", self.b.note, self.source)
        self.draws.append((draw, node))
        self.track(numbers, node)
        if call.alpha is not None:
            sample = call.transform(numbers.detach()).contiguous()
            self.track(sample, self.b("gamma_sample", self.node(call.alpha), node))
            return sample
        with self:
            value = call.transform(numbers)
            return value.clone() if call.target is None else call.target.copy_(value)

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
        if name == "detach":
            node = self.b.stop(self.node(args[0]))
            stopped = args[0].contiguous().clone()
            self.track(stopped, node)
            return stopped
        if schema.is_mutable:
            return self._write(func, name, args, kwargs)
        if _is_view(schema):
            result = func(*args, **kwargs)
            for tensor in tensors_of((result,)):
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
        if name in ("index", "index_put") and any(index.dtype == torch.uint8 for index in tensors_of(args[1])):
            raise UnsupportedOperation("a mask of bytes has no native form", source=self.source, hint="mask.bool()")
        nodes = map_tensors(self.node, args)
        named = {
            key: map_tensors(self.node, value) for key, value in kwargs.items() if key not in ("dtype", "memory_format")
        }
        lowered = rule(Call(self.b, result), *nodes, **named)
        if lowered is NotImplemented:
            hint = "torch.where chooses by value" if name in ("index", "masked_select") else _OTHER_ENGINES
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
        cell = _cell_of(target)
        if cell is not None and self._depth(cell.scope):
            raise _refuse("the body of a loop writes to a tensor of outside", "return it as part of the carry")
        if not self.is_tracked(target):
            if not self._is_ours(target):
                raise _refuse(_OLDER, "write to a clone of it")
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
        copy = flat.clone()
        if storage._cdata in self.pure:
            self.pure.add(copy.untyped_storage()._cdata)
        self.made.setdefault(copy.untyped_storage()._cdata, []).append(copy)
        cell = _Cell(self.constant(copy), self.scope)
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
