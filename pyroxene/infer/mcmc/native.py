"""The sampler in C: holds one chain's block of memory, and hands it to the library."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import torch

from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.library import sampler_library
from pyroxene.infer.mcmc.metrics.base import DENSE, LOW_RANK, MetricValues
from pyroxene.infer.mcmc.options import SamplerOptions
from pyroxene.infer.mcmc.sampler import Evaluate, Outcome, Recording, Sampler

__all__ = ["NativeSampler", "run_in_passes", "run_together"]

_ALIGNMENT = 64
_FIELDS = (
    "step_size", "max_depth", "adapting", "target", "algorithm", "fixed_steps", "length", "multinomial",
    "phase", "leapfrogs", "draws", "divergences", "mean_step", "log_density",
)  # fmt: skip
_STARTING = 1  # a phase of csrc/sampler.h
_FIELD = {name: number for number, name in enumerate(_FIELDS)}


class _Recording(ctypes.Structure):
    """The struct `recording` of csrc/sampler.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("positions", "gradients", "statistics", "divergences")),
        *((name, ctypes.c_void_p) for name in ("divergence_draws", "counters")),
        *((name, ctypes.c_int64) for name in ("wanted", "recorded", "thinning", "seen")),
        *((name, ctypes.c_int64) for name in ("divergence_capacity", "divergence_count")),
    ]


class NativeSampler(Sampler):
    """One chain whose state is a flat block that the C functions work on; final.

    Args:
        dim: of the positions.
        options: algorithm and limits.
        seed: of all chains.
        chain: this one's number.
        room: what the metric needs: whether a dense factor comes, and the largest rank.

    Raises:
        CompilerError: there is no C compiler.
    """

    def __init__(
        self, dim: int, options: SamplerOptions, seed: int, chain: int, room: tuple[bool, int] = (False, 0)
    ) -> None:
        self.dim = dim
        self._library = sampler_library()
        shape = (dim, int(room[0]), room[1], max(options.max_tree_depth))
        size = self._library.sampler_bytes(*shape)
        memory = numpy.zeros(size + _ALIGNMENT, dtype=numpy.uint8)
        offset = -memory.ctypes.data % _ALIGNMENT
        self._memory = memory[offset : offset + size]
        self.address = self._memory.ctypes.data
        self._library.sampler_create(self.address, *shape, seed % 2**64, chain)
        self._set("step_size", options.step_size)
        self._set("target", options.target_accept_prob)
        self._set("algorithm", float(options.algorithm == "hmc"))
        self._set("multinomial", float(options.use_multinomial))
        self._set("fixed_steps", options.num_steps or 0)
        self._set("length", options.trajectory_length or 1.0)
        self._room = room

    def _get(self, field: str) -> float:
        return self._library.sampler_get(self.address, _FIELD[field])

    def _set(self, field: str, value: float) -> None:
        self._library.sampler_set(self.address, _FIELD[field], value)

    def start(self, position: numpy.ndarray) -> None:
        start = numpy.ascontiguousarray(position, dtype=float)
        self._library.sampler_start(self.address, start.ctypes.data)

    def set_metric(self, values: MetricValues) -> None:
        assert values.kind != DENSE or self._room[0], "no room was made for a dense factor"
        assert values.rank <= self._room[1], "no room was made for this rank"
        scale = numpy.ascontiguousarray(values.scale)
        matrix = None
        if values.kind == DENSE:
            matrix = numpy.ascontiguousarray(values.matrix)
        elif values.kind == LOW_RANK:
            assert values.matrix is not None and values.shrink is not None
            matrix = numpy.concatenate([values.matrix.ravel(), values.shrink])
        self._library.sampler_set_metric(
            self.address, values.kind, values.rank, scale.ctypes.data, None if matrix is None else matrix.ctypes.data
        )

    def search(self) -> None:
        self._library.sampler_search(self.address)

    def restart_averaging(self, center_factor: float) -> None:
        self._library.sampler_restart_averaging(self.address, center_factor)

    def set_limits(self, *, adapting: bool, max_depth: int) -> None:
        self._set("adapting", float(adapting))
        self._set("max_depth", max_depth)

    @property
    def step_size(self) -> float:
        return self._get("step_size")

    @step_size.setter
    def step_size(self, value: float) -> None:
        self._set("step_size", value)

    @property
    def mean_step_size(self) -> float:
        return self._get("mean_step")

    @property
    def leapfrogs(self) -> int:
        return int(self._get("leapfrogs"))

    @property
    def is_unevaluated(self) -> bool:
        """Whether the chain was put somewhere and has not been evaluated there."""
        return self._get("phase") == _STARTING

    @property
    def draw(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        doors = (self._library.sampler_draw, self._library.sampler_draw_gradient)
        first, second = (self._copy(door(self.address)) for door in doors)
        return first, second

    def _copy(self, address: int) -> numpy.ndarray:
        return numpy.ctypeslib.as_array((ctypes.c_double * self.dim).from_address(address)).copy()

    def run(self, evaluate: Evaluate, out: Recording, stop: numpy.ndarray) -> int:
        def evaluate_row(positions: numpy.ndarray) -> tuple[Any, Any]:
            value, gradient = evaluate(positions[0])
            return [value], [gradient]

        return run_together([self], [out], evaluate_row, stop)[0]

    def run_native(self, function: int, context: int | None, out: Recording, stop: numpy.ndarray) -> int:
        """Draw from a density in C without coming back to Python; the interpreter is free meanwhile.

        Args:
            function: address of a `density_function` of csrc/sampler.h.
            context: what the function is handed, this thread's own.
            out: where the draws go.
            stop: an int32 array of one element.

        Returns:
            One of `Outcome`.
        """
        struct = _lower(out)
        outcome = self._library.sampler_run(self.address, ctypes.byref(struct), function, context, stop.ctypes.data)
        _lift(struct, out)
        return outcome

    def state_dict(self) -> dict[str, Any]:
        return {"kind": "native", "dim": self.dim, "room": self._room, "block": torch.tensor(self._memory)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if state.get("kind") != "native" or state["dim"] != self.dim or len(state["block"]) != len(self._memory):
            raise UsageError(
                "the state is another sampler's",
                expected=f"kind 'native', dimension {self.dim}, {len(self._memory)} bytes",
                got=f"kind '{state.get('kind')}', dimension {state.get('dim')}, {len(state.get('block', ()))} bytes",
                hint="load it into a sampler that is made as the saved one was",
            )
        self._memory[:] = state["block"].numpy()


def _lower(out: Recording) -> _Recording:
    """Return the recording as a struct: its arrays stay where they are, its numbers are those of now."""
    if out.lowered is None:
        out.lowered = _Recording(
            out.positions.ctypes.data,
            None if out.gradients is None else out.gradients.ctypes.data,
            out.statistics.ctypes.data,
            out.divergences.ctypes.data,
            out.divergence_draws.ctypes.data,
            out.counters.ctypes.data,
            thinning=out.thinning,
            divergence_capacity=len(out.divergences),
        )
    struct: _Recording = out.lowered
    struct.wanted, struct.recorded, struct.seen = out.wanted, out.recorded, out.seen
    struct.divergence_count = out.divergence_count
    return struct


def _lift(struct: _Recording, out: Recording) -> None:
    out.recorded, out.seen, out.divergence_count = struct.recorded, struct.seen, struct.divergence_count


def _wants_gradient(sampler: NativeSampler, out: Recording) -> bool:
    return out.recorded < out.wanted or sampler.is_unevaluated


class _Together:
    """Arrays of several chains that step side by side."""

    def __init__(self, samplers: Sequence[NativeSampler], recordings: Sequence[Recording], rows: int) -> None:
        count, dim = len(samplers), samplers[0].dim
        self.recordings = recordings
        self.states = (ctypes.c_void_p * count)(*(sampler.address for sampler in samplers))
        self.structs = (_Recording * count)(*map(_lower, recordings))
        self.live = numpy.array([_wants_gradient(*pair) for pair in zip(samplers, recordings)], dtype=numpy.int8)
        self.positions, self.gradients, self.values = (
            numpy.zeros((rows, dim)),
            numpy.empty((rows, dim)),
            numpy.empty(rows),
        )
        self.doors = [array.ctypes.data for array in (self.values, self.gradients, self.positions, self.live)]
        sampler_library().sampler_wanted(self.states, count, self.live.ctypes.data, self.positions.ctypes.data)

    def finish(self) -> None:
        for struct, out in zip(self.structs, self.recordings):
            _lift(struct, out)

    def outcomes(self) -> list[int]:
        names = (Outcome.FINISHED, Outcome.STOPPED, Outcome.IMPOSSIBLE)
        return [names[state] for state in self.live]


def run_in_passes(
    samplers: Sequence[NativeSampler],
    recordings: Sequence[Recording],
    width: int,
    function: int,
    context: int,
    stop: numpy.ndarray,
) -> list[int]:
    """Advance several chains side by side over machine code, until one has its draws; Python waits outside.

    Args:
        samplers: the chains.
        recordings: where each one's draws go; a chain whose recording is full rests, but keeps its row.
        width: how many chains the function takes in one pass.
        function: address of a `batch_function` of csrc/sampler.h.
        context: what it is handed.
        stop: an int32 array of one element.

    Returns:
        An `Outcome` for each chain; STOPPED also says that another chain was finished first.
    """
    count = len(samplers)
    together = _Together(samplers, recordings, -(-count // width) * width)
    sampler_library().sampler_run_chains(
        together.states, together.structs, count, width, function, context, *together.doors, stop.ctypes.data
    )
    together.finish()
    return together.outcomes()


def run_together(
    samplers: Sequence[NativeSampler],
    recordings: Sequence[Recording],
    evaluate: Callable[[numpy.ndarray], tuple[Any, Any]],
    stop: numpy.ndarray,
) -> list[int]:
    """Advance several chains side by side, one call of the density for a step of all, until one has its draws.

    Args:
        samplers: the chains.
        recordings: where each one's draws go; a chain whose recording is full rests, but keeps its row.
        evaluate: from positions (chains, dim) to log densities (chains,) and gradients (chains, dim).
        stop: an int32 array of one element.

    Returns:
        An `Outcome` for each chain; STOPPED also says that another chain was finished first.
    """
    library, count = sampler_library(), len(samplers)
    together = _Together(samplers, recordings, count)
    going = first = int(together.live.sum())
    try:
        while going == first > 0 and not stop[0]:
            together.values[:], together.gradients[:] = evaluate(together.positions)
            going = library.sampler_step_chains(together.states, together.structs, count, *together.doors)
    finally:  # an interrupt, or an error of the density, leaves the draws so far
        together.finish()
    return together.outcomes()
