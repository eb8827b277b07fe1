"""A value with its gradient through torch.compile: at one point, or at several in one batch."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.distributions import Distribution
from torch.fx import GraphModule

from pyroxene.compiler.precision import double_precision

__all__ = ["InductorFunction"]

_MOST_PROGRAMS = 64

_programs: dict[str, Callable[..., Any]] = {}
_lock = threading.Lock()


def _record(function: Callable[[torch.Tensor], Any], z: torch.Tensor) -> tuple[GraphModule, list[torch.Tensor]]:
    """Return the graph of a function of a point and of the tensors that it closes over, and these tensors."""
    from torch.fx.experimental.proxy_tensor import make_fx

    with double_precision():
        module = make_fx(function)(z)
    after = next(node for node in module.graph.nodes if node.op == "placeholder")
    closed: dict[str, Any] = {}
    for node in [node for node in module.graph.nodes if node.op == "get_attr"]:
        if node.target not in closed:
            with module.graph.inserting_after(after):
                after = closed[node.target] = module.graph.placeholder(f"closed{len(closed)}")
        node.replace_all_uses_with(closed[node.target])
        module.graph.erase_node(node)
    module.recompile()
    return module, [getattr(module, name).detach() for name in closed]


def _compiled(module: GraphModule, arguments: Sequence[torch.Tensor]) -> Callable[..., Any]:
    """Return a graph compiled: once for all tensors of one form, such as other data."""
    forms = [(tensor.shape, tensor.stride(), tensor.dtype, tensor.device) for tensor in arguments]
    key = f"{module.code}\n{forms}"
    with _lock:
        if key not in _programs:
            if len(_programs) >= _MOST_PROGRAMS:
                del _programs[next(iter(_programs))]
            with _checks_as_they_are():
                _programs[key] = torch.compile(module, dynamic=False)
        return _programs[key]


@contextlib.contextmanager
def _checks_as_they_are() -> Iterator[None]:
    """Undo what torch.compile does when it is first called: it turns off all distributions' checks for good."""
    before = Distribution._validate_args
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


class InductorFunction:
    """Value and gradient of a scalar function of one vector, through torch.compile; final.

    What the function closes over is handed in beside the point, so that other data of the same shapes compile nothing.

    Args:
        function: pure; from a float64 vector to a scalar.
        z: a point to record it at, shape (dim,), on the device where the function computes; values and gradients come
            back to the processor.
    """

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor], z: torch.Tensor) -> None:
        self.device = z.device

        def both(z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            with torch.enable_grad():
                leaf = z.detach().requires_grad_(True)
                value = function(leaf)
                (gradient,) = torch.autograd.grad(value, leaf)
            return value.detach(), gradient

        self._module, self._closed = _record(both, z.detach())
        self._run = _compiled(self._module, [z, *self._closed])
        self._batches: dict[int, Callable[..., Any]] = {}

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the value, a scalar, and the gradient, shape (dim,), float64."""
        with torch.no_grad():
            value, gradient = self._run(z.detach().to(self.device, torch.float64), *self._closed)
        return value.cpu(), gradient.cpu()

    def batched_value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values (chains,) and gradients (chains, dim) at points (chains, dim); each number of them compiles."""
        z = z.detach().to(self.device, torch.float64)
        with torch.no_grad():
            if len(z) not in self._batches:
                whole = (None,) * len(self._closed)
                several = torch.func.vmap(self._module, in_dims=(0, *whole))
                module, closed = _record(lambda z: several(z, *self._closed), z)
                compiled = _compiled(module, [z, *closed])
                self._batches[len(z)] = lambda z: compiled(z, *closed)
            values, gradients = self._batches[len(z)](z)
        return values.cpu(), gradients.cpu()
