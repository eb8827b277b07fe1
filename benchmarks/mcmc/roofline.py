"""Print the least time that each posterior's gradient could take on this machine, the time it takes, and their ratio.

Usage: PYTHONPATH=. python benchmarks/mcmc/roofline.py [--posterior all] [--leapfrog] [--rounds 5] [--json FILE]

A roofline is a lower bound for a density that is evaluated in the standard way, as its model writes it: no sufficient
statistics, no other algorithm. It is counted from the model (bytes of data, multiplications with additions, functions,
chains in which each operation waits for the one before) and priced with what `roofline.c` measures in the same run:
reads of a working set of that size, vector functions and instructions as the native engine's flags and prelude give
them, LAPACK of scipy. It is the largest of these bounds, of which each posterior has those that may be the largest:

    bandwidth   the data, read once from the cache or the memory that holds them
    throughput  all arithmetic on full vector units, where the model's loops are vectors
    latency     the longest chain
    phases      the sum of phases that wait for each other

The few dozen operations on scalars before and after the loops are not counted, and under a microsecond they are most
of the work: small posteriors are printed, not judged. One thread, one processor, double precision. Every round
measures the machine and then the gradient; the least of each counts.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "peers"))

from pyroxene_runner import Pyroxene  # noqa: E402 -- first: it sets the threads

# isort: split

import numpy as np  # noqa: E402
import posteriors  # noqa: E402
import torch  # noqa: E402
from common import Job  # noqa: E402

from pyroxene.compiler.engines.native.build import load_library  # noqa: E402
from pyroxene.compiler.engines.native.toolchain import DENSITY_FLAGS  # noqa: E402

Bounds = dict[str, float]
"""Nanoseconds by the name of the bound."""

LARGE = 6_000_000
"""Elements that a kernel can read: more than the data of any posterior."""

SLICES, SLICE = 100, 0.001
"""How often something is timed, and for how many seconds: of a processor that others use, some slice is undisturbed."""


def aligned(values: np.ndarray) -> np.ndarray:
    """Return a copy that begins at a cache line."""
    room = np.zeros(values.size + 8)
    start = -(room.ctypes.data // 8) % 8
    room[start : start + values.size] = values.reshape(-1)
    return room[start : start + values.size]


def capsule_pointer(capsule: Any) -> int:
    """Return the address of a function that scipy exports to Cython."""
    name, pointer = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return pointer(capsule, name(capsule))


class Machine:
    """Prices of operations in nanoseconds: each measured when it is first asked for, the least seen so far."""

    def __init__(self) -> None:
        from scipy.linalg import cython_lapack

        prelude = files("pyroxene.compiler").joinpath("csrc/prelude.h").read_text(encoding="utf8")
        source = (HERE / "roofline.c").read_text(encoding="utf8")
        self._library = load_library(source, name="roofline", flags=DENSITY_FLAGS, headers={"prelude.h": prelude})
        lapack = [capsule_pointer(cython_lapack.__pyx_capi__[name]) for name in ("dpotrf", "dpotrs", "dpotri")]
        self._library.bind((ctypes.c_void_p * len(lapack))(*lapack))
        random = np.random.default_rng(0)
        self._numbers = aligned(random.uniform(0.5, 1.0, LARGE))
        self._out = aligned(np.zeros(50_000))
        self._index = posteriors.load("radon").data()["group"]
        self._seen: dict[tuple[str, int], float] = {}

    def cost(self, kernel: str, size: int) -> float:
        """Return the time of one pass of a kernel of `roofline.c` over so many elements (of `read`: bytes)."""
        if (kernel, size) not in self._seen:
            self._seen[kernel, size] = self._measure(kernel, size)
        return self._seen[kernel, size]

    def measure_again(self) -> None:
        for key, least in self._seen.items():
            self._seen[key] = min(least, self._measure(*key))

    def prices(self) -> dict[str, float]:
        """Return the time of a pass by kernel and size."""
        return {f"{kernel} {size}": least for (kernel, size), least in self._seen.items()}

    def _measure(self, kernel: str, size: int) -> float:
        function = getattr(self._library, kernel)
        function.restype, function.argtypes = None, [ctypes.c_void_p] * 3 + [ctypes.c_long] * 2
        numbers = self._numbers
        if kernel.startswith("lapack"):
            distance = np.subtract.outer(np.arange(size), np.arange(size)) / 10.0
            numbers = aligned(np.exp(-0.5 * distance**2) + 0.1 * np.eye(size))
        pointers = [array.ctypes.data for array in (numbers, self._out, self._index)]

        def run(count: int) -> float:
            begin = time.perf_counter()
            function(*pointers, size, count)
            return time.perf_counter() - begin

        run(1)
        count = 1
        while (elapsed := run(count)) < SLICE / 4:
            count *= 4
        count = max(1, int(count * SLICE / elapsed))
        return 1e9 * min(run(count) for _ in range(SLICES)) / count

    def read(self, *arrays: np.ndarray) -> float:
        """Return the time to read arrays again that were read before: from the cache that holds them all, or memory."""
        return self.cost("read_stream", sum(array.nbytes for array in arrays) // 512 * 512)

    def fma(self, count: float) -> float:
        """Return the time of so many multiplications with an addition, in full vectors; a multiplication is one too."""
        return count * self.cost("throughput_fma", 12_800) / 12_800

    def vector(self, count: float, *names: str) -> float:
        """Return the time of functions of so many elements each, in full vectors."""
        return count * sum(self.cost(f"vector_{name}", 1024) for name in names) / 1024

    def scalar(self, *names: str) -> float:
        """Return the time of functions of one number each that need not wait for each other."""
        return sum(self.cost(f"scalar_{name}", 1024) for name in names) / 1024

    def chain(self, count: float, *names: str) -> float:
        """Return the time until so many rounds of operations are done, each waiting for the one before."""
        return count * sum(self.cost(f"chain_{name}", 1024) for name in names) / 1024

    def indexed(self, kernel: str, count: float) -> float:
        """Return the time of so many elements gathered, or added to their places, by radon's index."""
        return count * self.cost(kernel, self._index.size) / self._index.size


# One function for each posterior. A comment counts what an element, a row or a step needs; value and gradient together.


def eight_schools(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # A school: residual (2), square, gradients by raw, tau and mu (3). Scalars: tau = exp, the half-Cauchy's log1p.
    return {"throughput": machine.fma(6 * data["y"].size) + machine.scalar("exp", "log1p")}


def logistic(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # A row: the product with the coefficients and its adjoint, one fma an entry each; log(1 + exp(-|logit|)) and the
    # quotient that is the residual. The design need pass from its cache once: the adjoint of a block finds it nearer.
    rows, columns = data["design"].shape
    arithmetic = machine.fma(2 * rows * columns) + machine.vector(rows, "exp", "log1p", "divide")
    return {"bandwidth": machine.read(data["design"]), "throughput": arithmetic}


def radon(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # A row: intercept and slope gathered, mean, residual, its multiple and square, gradient by slope (6 fma); two
    # gradients added to their group. Groups: 2 prior terms and 6 multiplications, few beside the rows.
    rows = data["y"].size
    moved = machine.indexed("gather", 2 * rows) + machine.indexed("scatter_add", 2 * rows)
    return {"bandwidth": machine.read(*data.values()), "throughput": moved + machine.fma(6 * rows)}


def regression(machine: Machine, data: dict[str, np.ndarray], rows: int, columns: int) -> Bounds:
    # A row of a normal regression: product and adjoint, an fma an entry each; residual, square, and the multiple of
    # the residual that the adjoint takes.
    entries = np.empty((rows, columns))
    arithmetic = machine.fma(rows * (2 * columns + 3)) + machine.scalar("exp", "log1p")
    return {"bandwidth": machine.read(entries), "throughput": arithmetic}


def ar5(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    return regression(machine, data, data["y"].size - 5, 5)


def kidscore(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    return regression(machine, data, *data["design"].shape)


def horseshoe(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # The regression, and a column: local = exp, its half-Cauchy's log1p, and the quotient in the gradient of that.
    bounds = regression(machine, data, *data["design"].shape)
    bounds["throughput"] += machine.vector(data["design"].shape[1], "exp", "log1p", "divide")
    return bounds


def garch11(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # variance[t + 1] = shock[t] + beta variance[t] is one fma a step, and so is its adjoint, whose first step needs
    # the last of the log densities: two chains of T - 1. Between them, vectors: sqrt, log, quotient of T elements and
    # 10 fma. Blocks of the vectors could run in the shade of a chain, of which they leave most slots free; that bound
    # is max(latency, throughput).
    steps = data["y"].size - 1
    chains = machine.chain(2 * steps, "fma")
    arithmetic = machine.vector(steps, "sqrt", "log", "divide") + machine.fma(10 * steps)
    return {"throughput": arithmetic, "latency": chains, "phases": chains + arithmetic}


def gaussian_process(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # exp of each pair once (the matrix is symmetric); factor, solution, inverse (dpotrf, dpotrs, dpotri of the better
    # half): the gradient by the matrix is (a a' - K^-1) / 2 with a = K^-1 y; from it three sums over pairs (5 fma).
    size = data["y"].size
    pairs = size * (size + 1) / 2
    algebra = min(machine.cost("lapack_lower", size), machine.cost("lapack_upper", size))
    return {"phases": machine.vector(pairs, "exp") + algebra + machine.fma(5 * pairs)}


def gaussian_process_flops(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # The same, its algebra by loops on full units: n^3 / 6 for the factor, n^3 / 3 for the inverse. LAPACK is far from
    # it at this size.
    size = data["y"].size
    pairs = size * (size + 1) / 2
    return {"throughput": machine.vector(pairs, "exp") + machine.fma(size**3 / 2 + 5 * pairs)}


def irt_2pl(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # An answer: log sigmoid and sigmoid of the logit; logit (2), value (1), gradients by ability, difficulty and
    # discrimination (3).
    answers = data["answers"].size
    arithmetic = machine.vector(answers, "exp", "log1p", "divide") + machine.fma(6 * answers)
    return {"bandwidth": machine.read(data["answers"]), "throughput": arithmetic}


def gaussian_mixture(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # A row: log density of two components (3 fma each), logsumexp of the two (2 exp, a log), their shares (a
    # quotient), gradients by weight, mean and scale (3 each).
    rows = data["y"].size
    functions = machine.vector(2 * rows, "exp") + machine.vector(rows, "log", "divide")
    return {"bandwidth": machine.read(data["y"]), "throughput": functions + machine.fma(12 * rows)}


def hmm(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # forward[t + 1] = logsumexp(forward[t] + transition) + emission, as it is written: a step waits for an addition,
    # a maximum (priced as an addition), a subtraction, exp, the sum, log, and two additions. The adjoint: a
    # multiplication by the share, whose quotient is known before, and an fma.
    steps = data["y"].size - 1
    forward = machine.chain(steps, "exp", "log") + machine.chain(5 * steps, "add")  # a sixth is in the chain of log
    return {"latency": forward + machine.chain(steps, "multiply", "fma")}


def hmm_scaled(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # Another algorithm (Rabiner 1989): probabilities, divided by their sum now and then. A step is a multiplication
    # and an fma in each direction; before them exponentials of emissions, after them shares, both vectors.
    steps = data["y"].size - 1
    chains = machine.chain(2 * steps, "multiply", "fma")
    arithmetic = machine.vector(2 * steps, "exp") + machine.vector(steps, "divide")
    return {"latency": chains, "throughput": arithmetic, "phases": chains + arithmetic}


def lotka_volterra(machine: Machine, data: dict[str, np.ndarray]) -> Bounds:
    # 20 years of 5 steps of 4 stages. A stage: rate by the other population (fma), times the own (multiply), the next
    # stage's populations (fma). Its adjoint has as long a chain: of the stage's rate (fma), times the Jacobian
    # (multiply, fma). Nothing can be a vector but the two populations.
    steps = 5 * (len(data["pelts"]) - 1)
    return {"latency": machine.chain(2 * 4 * steps, "fma", "multiply", "fma")}


ROOFLINES: dict[str, dict[str, Callable[[Machine, dict[str, np.ndarray]], Bounds]]] = {
    "eight_schools_noncentred": {"": eight_schools},
    "eight_schools_centred": {"": eight_schools},
    "logistic_small": {"": logistic},
    "logistic_large": {"": logistic},
    "radon": {"": radon},
    "ar5": {"": ar5},
    "garch11": {"": garch11},
    "gaussian_process": {"": gaussian_process, "without LAPACK": gaussian_process_flops},
    "irt_2pl": {"": irt_2pl},
    "gaussian_mixture": {"": gaussian_mixture},
    "hmm": {"": hmm, "scaled": hmm_scaled},
    "horseshoe": {"": horseshoe},
    "lotka_volterra": {"": lotka_volterra},
    "kidscore": {"": kidscore},
}
"""By posterior: the roofline that judges, and by a remark those of another way to the same density."""


def subject(name: str, folder: Path) -> Pyroxene:
    """Return a posterior as its runner has it; logistic_large takes minutes, so it draws less."""
    np.savez(folder / f"{name}.npz", **posteriors.load(name).data())
    draws = 100 if name == "logistic_large" else 1000
    options = {
        "posterior": name,
        "data": folder / f"{name}.npz",
        "figure": "gradient",
        "method": "",
    }
    return Pyroxene(Job(SimpleNamespace(**options, chains=4, warmup=draws, draws=draws)))


def leapfrog(runner: Pyroxene, rounds: int) -> float:
    """Return the nanoseconds of a leapfrog in warm runs, everything included: the least of the rounds."""
    runner.sample(-1)
    runs = [runner.sample(seed)[:2] for seed in range(rounds)]
    return min(1e9 * seconds / figures["leapfrogs"] for seconds, figures in runs)


def measure(machine: Machine, name: str, rounds: int, with_leapfrog: bool) -> list[dict[str, Any]]:
    """Return the figures of a posterior, in microseconds: one entry for each of its rooflines."""
    with tempfile.TemporaryDirectory() as folder:
        runner = subject(name, Path(folder))
        for bounds in ROOFLINES[name].values():
            bounds(machine, runner.job.data)  # asks for its prices
        native = runner.log_density().native_function()
        point = torch.full((native.dim,), 0.1)
        gradient = float("inf")
        for _ in range(rounds):
            machine.measure_again()
            gradient = min(gradient, *(native.seconds_per_call(point, 5 * SLICE) for _ in range(SLICES // 5)))
        step = leapfrog(runner, rounds) / 1e3 if with_leapfrog else None
    entries = []
    for remark, function in ROOFLINES[name].items():
        bounds = {bound: nanoseconds / 1e3 for bound, nanoseconds in function(machine, runner.job.data).items()}
        bound = max(bounds, key=bounds.__getitem__)
        entry = {"posterior": name, "remark": remark, "roofline_us": bounds[bound], "bound": bound, "bounds_us": bounds}
        entry |= {"gradient_us": 1e6 * gradient, "leapfrog_us": step}
        entries.append(entry)
    return entries


def tell(entry: dict[str, Any]) -> None:
    """Print a line of the table."""
    label = f"{entry['posterior']}{', ' if entry['remark'] else ''}{entry['remark']}"
    line = f"{label:32}{entry['roofline_us']:10.4g}  {entry['bound']:10}"
    for figure in ("gradient_us", "leapfrog_us"):
        if entry[figure] is not None:
            line += f"{entry[figure]:10.4g} {entry[figure] / entry['roofline_us']:6.2f}"
    print(line, flush=True)


def main() -> None:
    """Print the table, and write it with the machine's prices where a file is given."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--posterior", default="all", help="names with commas, or all")
    command.add_argument("--rounds", type=int, default=5, help="turns of machine and gradient (default 5)")
    command.add_argument("--leapfrog", action="store_true", help="run warm chains too: 4 of 1000 + 1000")
    command.add_argument("--json", metavar="FILE", help="where results go")
    options = command.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    names = posteriors.NAMES if options.posterior == "all" else tuple(options.posterior.split(","))
    machine = Machine()
    entries: list[dict[str, Any]] = []
    print(f"{'posterior':32}{'roofline':>10}  {'bound':10}{'gradient':>10}  ratio", end="")
    print(f"{'leapfrog':>10}  ratio    (us)" if options.leapfrog else "    (us)")
    for name in names:
        entries += measure(machine, name, options.rounds, options.leapfrog)
        for entry in entries[-len(ROOFLINES[name]) :]:
            tell(entry)
        if options.json:
            Path(options.json).write_text(json.dumps({"prices_ns": machine.prices(), "results": entries}, indent=1))


if __name__ == "__main__":
    main()
