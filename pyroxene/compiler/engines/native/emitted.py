"""A graph's C, built and bound to what it calls, with the memory that each of its callers needs."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.compiler.engines.native.blas import single_threaded_blas
from pyroxene.compiler.engines.native.build import close_with, load_library
from pyroxene.compiler.engines.native.emit import Program, emit
from pyroxene.compiler.engines.native.pointers import ALGEBRA, addresses
from pyroxene.compiler.engines.native.sizes import shared_form
from pyroxene.compiler.engines.native.toolchain import DENSITY_FLAGS
from pyroxene.compiler.graph import Graph

__all__ = ["Context", "Emitted"]


class Context:
    """Workspace, data and sizes of one caller; a thread needs one of its own. Final.

    Attributes:
        pointer: the address to hand to the function as its last argument.
    """

    def __init__(self, program: Program, data: list[torch.Tensor]) -> None:
        self._workspace = torch.zeros(program.workspace + 8, dtype=torch.float64)
        start = -(-self._workspace.data_ptr() // 64) * 64
        numbers = torch.tensor(program.sizes, dtype=torch.int64), torch.tensor(program.constants, dtype=torch.float64)
        self._data = [*data, *numbers]
        places = [tensor.data_ptr() for tensor in self._data]
        self._table = (ctypes.c_void_p * (1 + len(places)))(start, *places)
        self.pointer = ctypes.addressof(self._table)


class Emitted:
    """Abstract: a graph as machine code. It allocates nothing; any number of threads may run it, each with a context.

    The library is closed when the object dies.

    Attributes:
        program: the emitted C.
        data: the tensors that it reads.
        address: of the C function.

    Implementing a form: call `__init__` with the name of the C function that `emit` gives a graph of that form, and its
    types; define how Python calls `self._function`.

    Args:
        graph: after all passes.
        name: what its files are called in the cache.
        door: the C function.
        result: its result's type.
        arguments: how many pointers it takes.

    Raises:
        CompilerError: there is no compiler, or it fails.
    """

    def __init__(self, graph: Graph, name: str, door: str, result: Any, arguments: Sequence[Any]) -> None:
        self.data = list(graph.data)
        self.program: Program = shared_form(emit(graph), len(self.data))
        self._library = load_library(self.program.source, name=name, flags=DENSITY_FLAGS)
        close_with(self, self._library)
        if self.program.pointers:
            table = (ctypes.c_void_p * len(self.program.pointers))(*addresses(self.program.pointers))
            self._library.pyroxene_bind(table)
        self._calls_blas = not ALGEBRA.keys().isdisjoint(self.program.pointers)
        self._function = getattr(self._library, door)
        self._function.restype, self._function.argtypes = result, list(arguments)
        self.address: int = ctypes.cast(self._function, ctypes.c_void_p).value or 0
        self._own = self.new_context()

    def new_context(self) -> Context:
        """Return workspace and data for one more thread."""
        return Context(self.program, self.data)

    def _one_thread(self) -> contextlib.AbstractContextManager[None]:
        """Keep BLAS to one thread, as chains do, where the function calls it; entering costs 8 us."""
        return single_threaded_blas() if self._calls_blas else contextlib.nullcontext()
