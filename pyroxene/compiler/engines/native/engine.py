"""A graph with gradients as a function of the machine: built, bound to its data, called by pointer or from Python."""

from __future__ import annotations

import contextlib
import ctypes
import math
import time
from collections import Counter
from typing import Any

import torch

from pyroxene.compiler.engines.native.blas import single_threaded_blas
from pyroxene.compiler.engines.native.build import close_with, load_library
from pyroxene.compiler.engines.native.emit import Program, emit
from pyroxene.compiler.engines.native.pointers import ALGEBRA, addresses
from pyroxene.compiler.engines.native.toolchain import DENSITY_FLAGS
from pyroxene.compiler.flatten import flatten, restore
from pyroxene.compiler.graph import LEAVES, Graph, nested
from pyroxene.compiler.passes.batch import batch
from pyroxene.compiler.passes.layout import by_columns

__all__ = ["Context", "NativeFunction"]

_POINTER = ctypes.POINTER(ctypes.c_double)


class Context:
    """Workspace and data of one caller; a thread needs one of its own. Final.

    Attributes:
        pointer: the address to hand to the function as its third argument.
    """

    def __init__(self, workspace: int, data: list[torch.Tensor]) -> None:
        self._workspace = torch.zeros(workspace + 8, dtype=torch.float64)
        start = -(-self._workspace.data_ptr() // 64) * 64
        self._data = data
        self._table = (ctypes.c_void_p * (1 + len(data)))(start, *[tensor.data_ptr() for tensor in data])
        self.pointer = ctypes.addressof(self._table)


def _restore(flat: dict[str, Any]) -> NativeFunction:
    return NativeFunction(restore(flat))


def _bind(library: ctypes.CDLL, program: Program) -> None:
    """Give a library the addresses of what it calls."""
    if program.pointers:
        table = (ctypes.c_void_p * len(program.pointers))(*addresses(program.pointers))
        library.pyroxene_bind(table)


class NativeBatch:
    """A function at several points in one pass, as machine code; final. `NativeFunction.batched` makes it.

    The C function is `void f(const double *z, double *values, double *gradients, void *context)`, z and gradients of
    shape (width, dim).

    Attributes:
        width: how many points.
        address: of the C function.
    """

    def __init__(self, graph: Graph, width: int, dim: int) -> None:
        self.width = width
        self.dim = dim
        self.data = list(graph.data)
        self.program = emit(graph)
        self._library = load_library(self.program.source, name="batch", flags=DENSITY_FLAGS)
        close_with(self, self._library)
        _bind(self._library, self.program)
        self._function = self._library.pyroxene_batch
        self._function.restype, self._function.argtypes = None, [ctypes.c_void_p] * 4
        self.address: int = ctypes.cast(self._function, ctypes.c_void_p).value or 0
        self._own = self.new_context()

    def new_context(self) -> Context:
        """Return workspace and data for one more thread."""
        return Context(self.program.workspace, self.data)

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values (width,) and gradients (width, dim) at points (width, dim); one thread at a time."""
        z = z.detach().to(torch.float64).contiguous()
        values, gradients = torch.empty(self.width, dtype=torch.float64), torch.empty_like(z)
        self._function(z.data_ptr(), values.data_ptr(), gradients.data_ptr(), self._own.pointer)
        return values, gradients


class NativeFunction:
    """value and gradient of a scalar function of one vector, as machine code; final.

    The C function is `double f(const double *z, double *gradient, void *context)`. It allocates nothing and may run in
    any number of threads, each with a context of its own.

    Attributes:
        dim: the length of the vector.
        operations: how many of each kind the graph has.
        longest_loop: how many steps the longest of its loops has; 0 without one.
        program: the emitted C.
        address: of the C function.
    """

    def __init__(self, graph: Graph) -> None:
        """Emit, build and bind a graph of one input, whose outputs are a scalar and its gradient.

        Raises:
            CompilerError: there is no compiler, or it fails.
        """
        graph = by_columns(graph)
        (argument,) = graph.inputs
        self._graph = graph
        self._batches: dict[int, NativeBatch] = {}
        self.dim = math.prod(argument.shape)
        loops = [node.attributes[1] for inner in nested(graph) for node in inner.nodes() if node.op == "scan"]
        self.longest_loop = max(loops, default=0)
        self.operations = Counter(node.op for node in graph.nodes() if node.op not in LEAVES)
        self.data = list(graph.data)
        self.program: Program = emit(graph)
        self._library = load_library(self.program.source, name="density", flags=DENSITY_FLAGS)
        close_with(self, self._library)
        _bind(self._library, self.program)
        self._calls_blas = not ALGEBRA.keys().isdisjoint(self.program.pointers)
        function = self._library.pyroxene_density
        function.restype = ctypes.c_double
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self._function = function
        self.address: int = ctypes.cast(function, ctypes.c_void_p).value or 0
        self._own = self.new_context()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the graph with its data; another process builds it anew, or finds it in its cache."""
        return _restore, (flatten(self._graph),)

    def new_context(self) -> Context:
        """Return workspace and data for one more thread."""
        return Context(self.program.workspace, self.data)

    def batched(self, width: int) -> NativeBatch:
        """Return the function at so many points, two or more, in one pass; built at the first request.

        Raises:
            CompilerError: the compiler fails.
        """
        if width not in self._batches:
            self._batches[width] = NativeBatch(batch(self._graph, width), width, self.dim)
        return self._batches[width]

    def seconds_per_call(self, z: torch.Tensor, budget: float = 0.05) -> float:
        """Return how long one call takes inside C, in seconds: the least of five runs that fill a budget of seconds."""
        z = z.detach().to(torch.float64).contiguous()
        gradient = torch.empty(self.dim, dtype=torch.float64)
        repeat = self._library.pyroxene_repeat
        repeat.restype, repeat.argtypes = None, [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_long]

        def measure(times: int) -> float:
            start = time.perf_counter()
            repeat(z.data_ptr(), gradient.data_ptr(), self._own.pointer, times)
            return (time.perf_counter() - start) / times

        with self._one_thread():
            times = max(1, int(budget / 5 / max(measure(3), 1e-9)))
            return min(measure(times) for _ in range(5))

    def _one_thread(self) -> contextlib.AbstractContextManager[None]:
        """Keep BLAS to one thread, as chains do, where the function calls it; entering costs 8 us."""
        return single_threaded_blas() if self._calls_blas else contextlib.nullcontext()

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the value, a float64 scalar, and the gradient, float64 of shape (dim,); one thread at a time."""
        z = z.detach().to(torch.float64).contiguous()
        gradient = torch.empty(self.dim, dtype=torch.float64)
        with self._one_thread():
            value = self._function(z.data_ptr(), gradient.data_ptr(), self._own.pointer)
        return torch.tensor(value, dtype=torch.float64), gradient
