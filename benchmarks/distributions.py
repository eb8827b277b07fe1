"""Log density and its gradient for 10 000 values: pyroxene native, torch eager, scipy and NumPyro, in turns.

Usage: PYTHONPATH=. python benchmarks/distributions.py [--numpyro PYTHON] [--classes Normal,Gamma] [--json FILE]

Classes and their parameters are those of the contract's tables (tests/distributions/contract) that are of one variable
and have plain numbers for parameters. The gradient is by these and, where the class is continuous, by each value. scipy
gives the log density without a gradient. All in float64, compiled and warm, seconds of the process's own CPU time, so
that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import pyroxene.distributions as dist
from pyroxene.compiler.compile import compile_native
from pyroxene.errors import CaptureError
from tests.distributions.test_contract import CASES
from tests.distributions.test_native import is_count

COUNT = 10_000
SUBJECTS = ("native", "eager", "scipy", "numpyro")


class Peer:
    """NumPyro in a process of its own."""

    def __init__(self, python: str) -> None:
        program = Path(__file__).resolve().parent / "_numpyro_densities.py"
        self.process = subprocess.Popen(
            [python, str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.read()

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, *question: Any) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        return self.read()


def seconds(call: Callable[[], Any], budget: float) -> float:
    """CPU seconds of one call, from as many as fill a budget."""
    start, count = time.process_time(), 0
    while time.process_time() - start < budget or count < 2:
        call()
        count += 1
    return (time.process_time() - start) / count


def subjects(case: Any, peer: Peer | None, budget: float) -> dict[str, Callable[[], float]]:
    """A timer for each that has the class."""
    parameters = {name: p for name, p in case.parameters().items() if isinstance(p, torch.Tensor)}
    others = {name: p for name, p in case.parameters().items() if name not in parameters}
    made = case.cls(**parameters, **others)
    values = made.sample((COUNT,))
    by_value = values.is_floating_point() and not is_count(made.support)
    moving = [name for name in parameters if not is_count(made.arg_constraints.get(name))]
    still = {name: p for name, p in parameters.items() if name not in moving}

    def density(z: torch.Tensor) -> torch.Tensor:
        given = {name: z[i] for i, name in enumerate(moving)}
        at = z[len(moving) :] if by_value else values
        return case.cls(**given, **still, **others).log_prob(at).sum()

    pieces = [torch.stack([parameters[name] for name in moving])] if moving else []
    z = torch.cat([*pieces, values] if by_value else [torch.empty(0), *pieces])

    def eager() -> torch.Tensor:
        leaf = z.detach().requires_grad_()
        value = density(leaf)
        value.backward()
        return value.detach()

    timers: dict[str, Callable[[], float]] = {"eager": lambda: seconds(eager, budget)}
    expected = eager().item()
    try:
        native = compile_native(density, z)
        check(case, expected, native.value_and_grad(z)[0].item(), "native")
        timers["native"] = lambda: seconds(lambda: native.value_and_grad(z), budget)
    except CaptureError:
        pass
    if case.scipy is not None:
        frozen = case.scipy(**{name: p.numpy() for name, p in parameters.items()})
        function, at = frozen.logpmf if hasattr(frozen.dist, "pmf") else frozen.logpdf, values.numpy()
        check(case, expected, function(at).sum().item(), "scipy")
        timers["scipy"] = lambda: seconds(lambda: function(at), budget)
    if peer is not None:
        name = case.cls.__name__
        numbers = {key: p.item() for key, p in parameters.items()}
        answer = peer.ask("prepare", name, numbers, values.tolist(), by_value)
        if isinstance(answer, float) and check(case, expected, answer, "numpyro"):
            timers["numpyro"] = lambda: peer.ask("seconds", name, budget)
    return timers


def check(case: Any, expected: float, got: float, who: str) -> bool:
    """Whether a subject computes the same sum; its time would mean nothing if not."""
    same = abs(expected - got) <= 1e-5 * max(1.0, abs(expected))
    if not same:
        print(f"{case.cls.__name__}: {who} gives {got}, eager {expected}")
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--numpyro", help="an interpreter that has numpyro")
    parser.add_argument("--classes", help="names, with commas between; all if left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--budget", type=float, default=0.02, help="seconds a subject a round")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    dist.enable_validation(False)
    peer = Peer(options.numpyro) if options.numpyro else None
    if peer is None:
        print("numpyro is left out: give its interpreter by --numpyro")
    wanted = options.classes.split(",") if options.classes else None
    cases = {each.values[0].cls.__name__: each.values[0] for each in reversed(CASES)}
    results = {}
    print(f"{'class':32} {'native us':>10}  times of the others' over it: {'eager':>8} {'scipy':>8} {'numpyro':>8}")
    for name in sorted(cases):
        torch.manual_seed(1)
        case = cases[name]
        if (wanted and name not in wanted) or not case.is_plain() or case.make().event_shape:
            continue
        if any(isinstance(p, torch.Tensor) and p.dim() for p in case.parameters().values()):
            continue
        try:
            timers = subjects(case, peer, options.budget)
        except (NotImplementedError, RuntimeError) as error:
            print(f"{name:32} left out: {str(error).splitlines()[0]}")
            continue
        rounds = [{who: timers[who]() for who in SUBJECTS if who in timers} for _ in range(options.rounds)]
        times = {who: statistics.median(each[who] for each in rounds) for who in rounds[0]}
        base = "native" if "native" in times else "eager"
        ratios = {who: statistics.median(each[who] / each[base] for each in rounds) for who in times if who != base}
        results[name] = {"seconds": times, f"ratio_to_{base}": ratios}
        own = f"{1e6 * times['native']:10.1f}" if base == "native" else f"{'-':>10}"
        cells = " ".join(f"{ratios[who]:8.2f}" if who in ratios else f"{'-':>8}" for who in SUBJECTS[1:])
        print(f"{name:32} {own} {'':31} {cells}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
