"""Time one SVI step of pyroxene, on each engine, beside Pyro's, and a VAE's step beside plain PyTorch's.

Usage: python benchmarks/svi.py [--pyro PYTHON] [--pairs N] [--networks]

Each pair of measurements runs the subjects one after the other in processes of their own; the ratio is taken within a
pair, and the median over pairs is quoted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
STEPS = {"eight_schools": 300, "geography": 300, "bayesian_network": 300, "amortised": 300, "vae": 30}
NETWORKS = ("bayesian_network", "amortised", "vae")
NATIVE_STEPS = {"pyroxene-step": 3000, "pyroxene-run": 100_000}
TARGETS = {"pyroxene-step": 50.0, "pyroxene-run": 5.0}


def measure(python: str, package: str, model: str) -> float:
    """Return a subject's time of one step in milliseconds: the median of three rounds in one process."""
    return timed(python, package, model)[0]


def timed(python: str, package: str, model: str) -> tuple[float, str]:
    """Return the same, and what the subject says of its engine."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    if package.startswith("pyroxene"):
        environment["PYTHONPATH"] = str(HERE.parent)
    command = [
        python,
        str(HERE / "_svi_subjects.py"),
        package,
        model,
        "3",
        str(NATIVE_STEPS.get(package, STEPS[model])),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr}")
    said = [line[2:] for line in done.stdout.splitlines() if line.startswith("# ")]
    return statistics.median(float(line) for line in done.stdout.splitlines() if line[0] != "#"), " ".join(said)


def compare(model: str, ours: tuple[str, str], theirs: tuple[str, str], pairs: int, target: float) -> None:
    """Measure two subjects in turns and print their medians and the median ratio."""
    times = [(measure(*ours, model), measure(*theirs, model)) for _ in range(pairs)]
    ratios = sorted(a / b for a, b in times)
    mine, other = (statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(ratios)
    verdict = "met" if ratio <= target else "MISSED"
    print(
        f"{model:<14} {ours[1]} {mine:7.3f} ms   {theirs[1]:<6} {other:7.3f} ms   "
        f"ratio {ratio:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})   target {target} {verdict}",
        flush=True,
    )


def native(model: str, pairs: int) -> None:
    """Measure native steps beside eager ones, in turns, and print medians in microseconds."""
    for package, target in TARGETS.items():
        times = [
            (measure(sys.executable, package, model), measure(sys.executable, "pyroxene", model)) for _ in range(pairs)
        ]
        mine, eager = (statistics.median(column) * 1000 for column in zip(*times, strict=True))
        verdict = "met" if mine <= target else "MISSED"
        print(
            f"{model:<14} {package:<14} {mine:8.2f} us   eager {eager:8.1f} us   target {target} us {verdict}",
            flush=True,
        )


def networks() -> None:
    """Measure programs with networks on each engine, and say which one is chosen by what steps cost."""
    for model in NETWORKS:
        times = {way: measure(sys.executable, f"pyroxene{way}", model) for way in ("", "-native", "-inductor")}
        chosen, why = timed(sys.executable, "pyroxene-auto", model)
        plain = f"   plain torch {measure(sys.executable, 'torch', model):.3f} ms" if model == "vae" else ""
        eager, native, inductor = times.values()
        print(
            f"{model:<16} eager {eager:.3f} ms   native {native:.3f} ms   inductor {inductor:.3f} ms   "
            f"chosen {chosen:.3f} ms{plain}\n{'':<16} {why}",
            flush=True,
        )


def main() -> None:
    """Run all comparisons."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--pyro", metavar="PYTHON", help="interpreter of an environment with pyro-ppl")
    command.add_argument("--pairs", type=int, default=7, help="pairs of measurements (default 7)")
    command.add_argument(
        "--networks", action="store_true", help="only programs with networks, on each engine; 10 minutes"
    )
    options = command.parse_args()
    if options.networks:
        networks()
        return
    here = (sys.executable, "pyroxene")
    for model in ("eight_schools", "geography"):
        native(model, options.pairs)
    if options.pyro:
        for model in ("eight_schools", "geography"):
            compare(model, here, (options.pyro, "pyro"), options.pairs, 0.5)
        compare("vae", here, (options.pyro, "pyro"), options.pairs, 1.0)
    compare("vae", here, (sys.executable, "torch"), options.pairs, 1.25)
    networks()


if __name__ == "__main__":
    main()
