"""The loop in C from Python: its library, its memory, and torch's generator handed over and back."""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy
import torch

from pyroxene.compiler.engines.native.build import load_library
from pyroxene.compiler.engines.native.program import NativeProgram
from pyroxene.compiler.noise import Draw
from pyroxene.infer.native_svi.seen import Subset
from pyroxene.infer.native_svi.updates import FIELDS, Mirror

__all__ = ["Loop", "TorchStream", "loop_library"]

_HEADERS = ("generator.h", "updates.h")
_STATE_BYTES = 5056  # of torch.get_rng_state(), in the layout of csrc/generator.h
_SUBSET = 2  # a kind of csrc/loop.c, as are these
_KINDS = {"uniform": 0, "normal": 1, "wide": 3, "key": 3}


class _Mirror(ctypes.Structure):
    """The struct `mirror` of csrc/loop.c."""

    _fields_ = [
        ("ours", ctypes.c_void_p),
        ("theirs", ctypes.c_void_p),
        ("count", ctypes.c_int64),
        ("narrow", ctypes.c_int64),
    ]


class _Run(ctypes.Structure):
    """The struct `run` of csrc/loop.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("function", "inputs", "outputs", "context")),
        *((name, ctypes.c_void_p) for name in ("parameters", "gradient", "total", "indices", "noise", "loss")),
        *((name, ctypes.c_void_p) for name in ("first", "second", "third")),
        *((name, ctypes.c_int64) for name in ("dim", "particles", "draw_count", "group_count")),
        *((name, ctypes.c_int64) for name in ("mirror_count", "narrow")),
        *((name, ctypes.c_void_p) for name in ("draws", "plates", "order", "moves", "groups", "starts", "mirrors")),
        *((name, ctypes.c_void_p) for name in ("random", "losses")),
        ("done", ctypes.c_int64),
    ]


@functools.cache
def loop_library() -> ctypes.CDLL:
    """Return the loop's library, built once for a machine.

    Raises:
        CompilerError: there is no C compiler, or it failed.
    """
    folder = resources.files("pyroxene.infer.native_svi").joinpath("csrc")
    headers = {name: folder.joinpath(name).read_text(encoding="utf8") for name in _HEADERS}
    library = load_library(folder.joinpath("loop.c").read_text(encoding="utf8"), name="svi", headers=headers)
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    for name, arguments in (
        ("seed", [pointer, ctypes.c_uint64]),
        ("normals", [pointer, pointer, integer, integer]),
        ("uniforms", [pointer, pointer, integer, integer]),
        ("subset", [pointer, pointer, integer, pointer, pointer, integer]),
        ("steps", [pointer, integer, integer]),
        ("update", [pointer]),
    ):
        function = getattr(library, f"svi_{name}")
        function.restype, function.argtypes = None, arguments
    return library


@functools.cache
def _knows_torch() -> bool:
    """Say whether C continues torch's stream of numbers; it does where torch has the generator it was written for."""
    library = loop_library()
    generator = torch.Generator().manual_seed(11)
    state = generator.get_state()
    if state.numel() != _STATE_BYTES:
        return False
    mine = numpy.empty(3)
    library.svi_normals(state.data_ptr(), mine.ctypes.data, 3, 0)
    theirs = torch.randn(3, generator=generator, dtype=torch.float64)
    return bool(torch.equal(torch.from_numpy(mine), theirs) and torch.equal(state, generator.get_state()))


_TAKEN = threading.Lock()
"""Held by the stream that has torch's generator."""


class TorchStream:
    """The generator of a run: torch's own, taken over and given back; final.

    Where another thread has it, or its layout is unknown, torch gives a seed instead: numbers are as random, and not
    those of the other thread, but not torch's.
    """

    def __init__(self) -> None:
        self._state = torch.zeros(_STATE_BYTES, dtype=torch.uint8)
        self._holds = False
        self.address = self._state.data_ptr()

    def take(self) -> None:
        """Begin where torch stands."""
        self._holds = _knows_torch() and _TAKEN.acquire(blocking=False)
        if self._holds:
            self._state.copy_(torch.get_rng_state())
        else:
            loop_library().svi_seed(self.address, int(torch.randint(2**62, ())))

    def give(self) -> None:
        """Let torch go on where the run ended."""
        if self._holds:
            torch.set_rng_state(self._state)
            self._holds = False
            _TAKEN.release()


def _in_order(draws: Sequence[Draw], subsets: Sequence[Subset], before: Mapping[str, int]) -> list[tuple[int, int]]:
    """Return the rows of `draws` in csrc/loop.c: noise and subsets in the order in which a step draws them."""
    rows: list[tuple[int, int]] = []
    for position in range(len(draws) + 1):
        rows += [(_SUBSET, number) for number, s in enumerate(subsets) if before.get(s.name, 0) == position]
        rows += [(_KINDS[draw.kind], draw.size) for draw in draws[position : position + 1]]
    return rows


def _plates(subsets: Sequence[Subset]) -> numpy.ndarray:
    """Return the rows of `plates` in csrc/loop.c."""
    rows = numpy.zeros((len(subsets), 4), dtype=numpy.int64)
    indices = order = 0
    for row, subset in zip(rows, subsets):
        row[:] = subset.size, subset.count, indices, order
        indices, order = indices + subset.count, order + subset.size
    return rows


class Loop:
    """Memory of one objective and the steps on it; final. One thread at a time.

    Attributes:
        parameters: the flat vector, float64.
        gradient: of the last step, float64.
        indices: of all plates, as float64.
        noise: as float64.
        data: the arguments that are inputs, flat float64 tensors.

    Args:
        program: loss and gradient, of parameters, indices, data and noise.
        dim: how many parameters.
        draws: what the noise holds.
        subsets: the plates that draw indices.
        before: of each subset, how many of `draws` a step makes before it.
        data: sizes of the arguments that are inputs.
        particles: how many runs of the program a step averages.
    """

    def __init__(
        self,
        program: NativeProgram,
        dim: int,
        draws: Sequence[Draw],
        subsets: Sequence[Subset],
        before: Mapping[str, int],
        data: Sequence[int],
        particles: int,
    ) -> None:
        self._library = loop_library()
        self._program = program
        self._context = program.new_context()
        self.parameters, self.gradient, self._total = numpy.zeros(dim), numpy.zeros(dim), numpy.zeros(dim)
        self.vectors = [numpy.zeros(dim) for _ in range(3)]
        self.indices = numpy.zeros(max(1, sum(subset.count for subset in subsets)))
        self.noise = numpy.zeros(max(1, sum(draw.size for draw in draws)))
        self.data = [torch.zeros(size, dtype=torch.float64) for size in data]
        self._loss = numpy.zeros(1)
        self._draws = numpy.array(_in_order(draws, subsets, before), dtype=numpy.int64)
        self._plates = _plates(subsets)
        self._order = numpy.concatenate([numpy.zeros(0, numpy.int64), *(numpy.arange(s.size) for s in subsets)])
        self._moves = numpy.zeros(max([1, *(subset.count for subset in subsets)]), dtype=numpy.int64)
        self.stream = TorchStream()
        inputs = [
            *(array.ctypes.data for array in (self.parameters, self.indices)),
            *(tensor.data_ptr() for tensor in self.data),
            self.noise.ctypes.data,
        ]
        self._inputs = (ctypes.c_void_p * len(inputs))(*inputs)
        self._outputs = (ctypes.c_void_p * 2)(self._loss.ctypes.data, self.gradient.ctypes.data)
        self._run = self._struct(dim, particles)
        self._address = ctypes.addressof(self._run)
        self.set_mirrors([])

    def _struct(self, dim: int, particles: int) -> _Run:
        run = _Run(dim=dim, particles=particles, draw_count=len(self._draws))
        run.function, run.context = self._program.address, self._context.pointer
        run.inputs, run.outputs = ctypes.addressof(self._inputs), ctypes.addressof(self._outputs)
        for name, array in (
            ("parameters", self.parameters),
            ("gradient", self.gradient),
            ("total", self._total),
            ("indices", self.indices),
            ("noise", self.noise),
            ("loss", self._loss),
            *zip(("first", "second", "third"), self.vectors),
            ("draws", self._draws),
            ("plates", self._plates),
            ("order", self._order),
            ("moves", self._moves),
        ):
            setattr(run, name, array.ctypes.data)
        run.random = self.stream.address
        return run

    def set_groups(self, rows: numpy.ndarray, starts: numpy.ndarray) -> None:
        """Give the optimiser's groups; without any, steps leave the parameters where they are."""
        assert rows.shape[1:] == (len(FIELDS),) and rows.flags.c_contiguous
        self._kept: tuple[Any, ...] = (rows, starts)  # C holds their addresses
        self._run.groups, self._run.starts, self._run.group_count = rows.ctypes.data, starts.ctypes.data, len(rows)

    def set_mirrors(self, mirrors: Sequence[Mirror]) -> None:
        """Give the torch tensors that hold the same numbers: read before the steps, written after them."""
        self._tensors = [tensor for _, _, tensor in mirrors]
        self._pointers = [0] * len(mirrors)
        self._mirrors = (_Mirror * len(mirrors))()
        self._run.mirrors, self._run.mirror_count = ctypes.addressof(self._mirrors), len(mirrors)
        for entry, (array, start, tensor) in zip(self._mirrors, mirrors):
            entry.ours = array.ctypes.data + 8 * start
            entry.count, entry.narrow = tensor.numel(), tensor.dtype == torch.float32

    def find_mirrors(self) -> None:
        """Look up where the tensors of `set_mirrors` have their numbers now; `tensor.data = ...` moves them."""
        pointers = [tensor.data_ptr() for tensor in self._tensors]
        if pointers != self._pointers:
            self._pointers = pointers
            for entry, pointer in zip(self._mirrors, pointers):
                entry.theirs = pointer
        self._run.narrow = torch.get_default_dtype() == torch.float32

    @property
    def done(self) -> int:
        """How many steps were made since `losses_go_to`."""
        return self._run.done

    def losses_go_to(self, losses: numpy.ndarray) -> None:
        """Write each step's loss to an array from its beginning."""
        self._losses = losses
        self._run.losses, self._run.done = losses.ctypes.data, 0

    def steps(self, count: int, given: bool = False) -> None:
        """Make steps.

        Args:
            count: how many; the array of losses has room for them.
            given: whether noise and indices are there; then there is one particle, and all steps see the same.
        """
        self._library.svi_steps(self._address, count, given)

    def update(self) -> None:
        """Step the parameters on the gradient that is there."""
        self._library.svi_update(self._address)
