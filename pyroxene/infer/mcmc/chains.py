"""Running chains: in threads over compiled code, one after the other, or side by side in one batch."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

import numpy
import torch

from pyroxene.compiler.engines.native.blas import single_threaded_blas
from pyroxene.compiler.recorder import UnsupportedOperation
from pyroxene.errors import CompilerError, UsageError
from pyroxene.infer.mcmc.chain import Chain, ChainDraws, Program, Run, carry_out, no_draws
from pyroxene.infer.mcmc.metrics import make_metric
from pyroxene.infer.mcmc.monitor import FINISHED, Monitor
from pyroxene.infer.mcmc.native import NativeSampler, run_in_passes, run_together
from pyroxene.infer.mcmc.options import SamplerOptions
from pyroxene.infer.mcmc.reference import ReferenceSampler
from pyroxene.infer.mcmc.sampler import Outcome, Recording, Sampler

__all__ = [
    "Chain",
    "ChainDraws",
    "Density",
    "Monitor",
    "NativeFunction",
    "SamplerOptions",
    "continue_chains",
    "make_chains",
    "run_chains",
]

CHAIN_METHODS = ("threads", "sequential", "vectorized")


class NativeFunction(Protocol):
    """A density in C."""

    address: int

    def new_context(self) -> Any:
        """Return something with `pointer`, the context that one thread hands the function; None: no context."""


class Density(Protocol):
    """What chains need to know of a log density."""

    @property
    def dim(self) -> int:
        """Length of a position."""

    def value_and_grad(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From a position (dim,) to its log density () and gradient (dim,)."""


def _native_function(density: Density) -> NativeFunction | None:
    door = getattr(density, "native_function", None)
    return None if door is None else door()


def make_chains(
    density: Density, initial_positions: torch.Tensor, options: SamplerOptions, *, seed: int
) -> list[Chain]:
    """Return chains at their starting positions, ready for `continue_chains`.

    Args:
        density: what they draw from.
        initial_positions: shape (num_chains, dim).
        options: how they move and adapt.
        seed: of all chains; each has a stream of its own, by its number.

    Raises:
        UsageError: the positions do not fit the density, or an option has no meaning.
    """
    if initial_positions.ndim != 2 or initial_positions.shape[1] != density.dim or density.dim == 0:
        raise UsageError(
            "initial positions do not fit the density",
            expected=f"shape (num_chains, {density.dim}) with a dimension of at least 1",
            got=initial_positions,
        )
    starts = initial_positions.detach().double().cpu().numpy()
    chains = []
    for number, position in enumerate(starts):
        metric = make_metric(options.metric)
        given = options.initial_inverse_mass
        dense, rank = metric.room(density.dim)
        room = (dense or (given is not None and given.ndim == 2), rank)
        sampler = _make_sampler(density.dim, options, seed, number, room)
        chains.append(Chain(number, sampler, metric, options, position, run=_run_alone(density)))
    return chains


def _make_sampler(dim: int, options: SamplerOptions, seed: int, number: int, room: tuple[bool, int]) -> Sampler:
    try:
        return NativeSampler(dim, options, seed, number, room)
    except CompilerError:
        return ReferenceSampler(dim, options, seed, number)


def run_chains(
    density: Density,
    initial_positions: torch.Tensor,
    options: SamplerOptions,
    *,
    num_warmup: int,
    num_draws: int,
    seed: int,
    num_threads: int | None = None,
    chain_method: str = "threads",
    monitor: Monitor | None = None,
    thinning: int = 1,
    save_warmup: bool = False,
) -> list[Chain]:
    """Make chains, warm them up, and draw.

    Args:
        density: what they draw from.
        initial_positions: shape (num_chains, dim).
        options: how they move and adapt.
        num_warmup: draws of warm-up, each chain.
        num_draws: draws kept after it, each chain.
        seed: draws depend on it and on the chain's number, never on the number of threads.
        num_threads: at most so many at a time; None: one for each processor that this process may use.
        chain_method: "threads" (over a native function; without one as "sequential"), "sequential", or
            "vectorized" (one batched evaluation for a step of all chains, of machine code up to 8 in one pass).
        monitor: counters and the stop flag; a new one where none is given.
        thinning: keep every so many draws.
        save_warmup: keep the draws of warm-up as well.

    Returns:
        The chains; each has `draws`, marked where Ctrl-C or the stop flag came first, and `trouble`.

    Raises:
        UsageError: positions do not fit, or there is no such chain method.
    """
    chains = make_chains(density, initial_positions, options, seed=seed)
    continue_chains(
        density,
        chains,
        num_warmup=num_warmup,
        num_draws=num_draws,
        num_threads=num_threads,
        chain_method=chain_method,
        monitor=monitor,
        thinning=thinning,
        save_warmup=save_warmup,
    )
    return chains


def continue_chains(
    density: Density,
    chains: Sequence[Chain],
    *,
    num_warmup: int,
    num_draws: int,
    num_threads: int | None = None,
    chain_method: str = "threads",
    monitor: Monitor | None = None,
    thinning: int = 1,
    save_warmup: bool = False,
) -> None:
    """Warm chains up (by 0 draws: not at all) and draw (by 0 draws: not at all), from where they stand.

    See `run_chains` for the arguments.
    """
    if chain_method not in CHAIN_METHODS:
        raise UsageError("there is no such chain method", expected=f"one of {CHAIN_METHODS}", got=chain_method)
    monitor = monitor or Monitor(len(chains))
    nothing = no_draws(density.dim, interrupted=num_draws > 0)
    for chain in chains:
        chain.draws = nothing
    programs = [_program(chain, num_warmup, num_draws, monitor, thinning, save_warmup) for chain in chains]
    function = _native_function(density)
    native = all(isinstance(chain.sampler, NativeSampler) for chain in chains)
    try:
        with single_threaded_blas():
            if chain_method == "vectorized" and native:
                _run_vectorized(density, chains, programs, monitor)
            elif function is not None and native:
                threads = 1 if chain_method == "sequential" else num_threads or _num_processors()
                _run_in_threads(function, chains, programs, monitor, min(threads, len(chains)))
            else:
                _run_one_by_one(density, chains, programs, monitor)
    except KeyboardInterrupt:
        monitor.interrupt()
        for chain in chains:
            chain.outcome = Outcome.STOPPED
    finally:
        for chain, program in zip(chains, programs):
            program.close()
            monitor.set_phase(chain.number, FINISHED)


def _program(
    chain: Chain, num_warmup: int, num_draws: int, monitor: Monitor, thinning: int, save_warmup: bool
) -> Generator[Recording, None, None]:
    if num_warmup:
        yield from chain.warmup_program(num_warmup, monitor, save_warmup)
    if num_draws:
        yield from chain.sampling_program(num_draws, monitor, thinning)


def _num_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run_in_threads(
    function: NativeFunction, chains: Sequence[Chain], programs: Sequence[Program], monitor: Monitor, threads: int
) -> None:
    """Each chain is a thread in C; this thread lets the watcher look, and turns Ctrl-C into the stop flag."""

    def work(chain: Chain, program: Program) -> None:
        run = _run_native(function)
        carry_out(chain, program, run, monitor.stop)
        monitor.set_phase(chain.number, FINISHED)

    with ThreadPoolExecutor(threads, thread_name_prefix="pyroxene-chain") as pool:
        waiting: set[Future[None]] = {pool.submit(work, *pair) for pair in zip(chains, programs)}
        done: set[Future[None]] = set()
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=monitor.interval, return_when=FIRST_COMPLETED)
                done |= finished
                monitor.tick()
        except BaseException:  # Ctrl-C, or an error of the watcher: the chains must end before it goes on its way
            monitor.interrupt()
            raise
    for future in done:
        future.result()


def _run_native(function: NativeFunction) -> Run:
    context = function.new_context()
    pointer = None if context is None else context.pointer

    def run(sampler: Sampler, out: Recording, stop: numpy.ndarray) -> int:
        assert isinstance(sampler, NativeSampler)
        assert context is None or context.pointer == pointer, "the context stays alive and in its place"
        return sampler.run_native(function.address, pointer, out, stop)

    return run


def _run_alone(density: Density) -> Run:
    """Return what runs one chain on its own, by hand: natively where that can be."""

    def run(sampler: Sampler, out: Recording, stop: numpy.ndarray) -> int:
        function = _native_function(density)
        if function is not None and isinstance(sampler, NativeSampler):
            return _run_native(function)(sampler, out, stop)
        return _run_eager(density, None)(sampler, out, stop)

    return run


def _run_one_by_one(density: Density, chains: Sequence[Chain], programs: Sequence[Program], monitor: Monitor) -> None:
    run = _run_eager(density, monitor)
    for chain, program in zip(chains, programs):
        carry_out(chain, program, run, monitor.stop)
        monitor.set_phase(chain.number, FINISHED)
        monitor.tick()


class _Clock:
    """Lets the watcher look now and then, from within a density that is evaluated in this thread."""

    def __init__(self, monitor: Monitor | None) -> None:
        self.monitor = monitor
        self.next = 0.0 if monitor is None else time.monotonic() + monitor.interval

    def look(self) -> None:
        if self.monitor is not None and time.monotonic() > self.next:
            self.monitor.tick()
            self.next = time.monotonic() + self.monitor.interval


def _run_eager(density: Density, monitor: Monitor | None) -> Run:
    clock = _Clock(monitor)

    def evaluate(position: numpy.ndarray) -> tuple[Any, Any]:
        clock.look()
        value, gradient = density.value_and_grad(torch.from_numpy(position))
        return float(value), gradient.detach().numpy()

    def run(sampler: Sampler, out: Recording, stop: numpy.ndarray) -> int:
        return sampler.run(evaluate, out, stop)

    return run


def _run_vectorized(density: Any, chains: Sequence[Chain], programs: Sequence[Program], monitor: Monitor) -> None:
    """One batch for a step of all chains; a chain that has filled a stretch adapts while the others wait."""
    samplers = [chain.sampler for chain in chains if isinstance(chain.sampler, NativeSampler)]
    recordings = [next(program, None) for program in programs]
    idle = Recording(0, density.dim, monitor.counters[0])
    step = _passes(density, samplers, monitor) or _batches(density, samplers, monitor)
    while any(recording is not None for recording in recordings) and not monitor.stop[0]:
        outcomes = step([recording or idle for recording in recordings])
        for index, (chain, outcome) in enumerate(zip(chains, outcomes)):
            if recordings[index] is None:
                continue
            chain.outcome = outcome
            if outcome == Outcome.IMPOSSIBLE:
                recordings[index] = None
            while recordings[index] is not None and _is_full(recordings[index], chain):
                recordings[index] = next(programs[index], None)
                if recordings[index] is None:
                    monitor.set_phase(chain.number, FINISHED)


Step = Callable[[Sequence[Recording]], list[int]]
"""Steps all chains until one has its draws: from a recording for each to an `Outcome` for each."""


def _batches(density: Any, samplers: Sequence[NativeSampler], monitor: Monitor) -> Step:
    """Step over a density that Python evaluates at all positions at once."""
    clock = _Clock(monitor)

    def evaluate(positions: numpy.ndarray) -> tuple[Any, Any]:
        clock.look()
        values, gradients = density.batched_value_and_grad(torch.from_numpy(positions))
        return values.detach().cpu().numpy(), gradients.detach().cpu().numpy()

    return lambda recordings: run_together(samplers, recordings, evaluate, monitor.stop)


WIDEST = 8
"""As many chains as a vector register has doubles are taken in one pass of machine code."""


def _passes(density: Density, samplers: Sequence[NativeSampler], monitor: Monitor) -> Step | None:
    """Step over machine code that takes several chains in one pass; None where the density is no such code."""
    function = _native_function(density)
    if function is None or not hasattr(function, "batched"):
        return None
    try:
        passes = function.batched(max(2, min(len(samplers), WIDEST)))
    except UnsupportedOperation:
        return None
    context = passes.new_context()

    def step(recordings: Sequence[Recording]) -> list[int]:
        with ThreadPoolExecutor(1, thread_name_prefix="pyroxene-chains") as pool:
            running = pool.submit(
                run_in_passes, samplers, recordings, passes.width, passes.address, context.pointer, monitor.stop
            )
            try:
                while wait([running], timeout=monitor.interval).not_done:
                    monitor.tick()
            except BaseException:
                monitor.interrupt()
                raise
        return running.result()

    return step


def _is_full(recording: Recording | None, chain: Chain) -> bool:
    assert recording is not None and isinstance(chain.sampler, NativeSampler)
    return recording.recorded >= recording.wanted and not chain.sampler.is_unevaluated
