"""Measure MCMC in pyroxene and its peers side by side, in turns, and print medians and ratios.

Usage: python benchmarks/mcmc/run.py --posterior eight_schools_noncentred --figure gradient,leapfrog,cold,warm
           [--numpyro PYTHON] [--pymc PYTHON] [--stan PYTHON] [--pyro PYTHON] [--seeds N] [--rounds N] [--json FILE]

Each PYTHON is the interpreter of an environment that has the peer; one that is not given is left out, and said so.
All run in double precision, one thread, on one processor (cold figures: as the peer's documentation starts it).

Figures:
    gradient  one value and gradient inside the peer's own compiled loop
    leapfrog  wall time of warm sampling over leapfrogs, warm-up included: everything that a leapfrog costs
    cold      from `python script.py` to its end: import, build, 4 chains of 1000 + 1000, a table; caches empty, then
              filled
    warm      effective draws (bulk, least over parameters) a second and a gradient; a run whose R-hat passes 1.05 or
              that misses its reference counts as zero
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import posteriors
from measures import worst
from reference import misses, worst_z

HERE = Path(__file__).resolve().parent
PEERS = ("pyroxene", "numpyro", "nutpie", "stan", "pyro")
DEFAULT_SUBJECTS = "pyroxene,numpyro,numpyro:sequential,nutpie,stan,pyro"


@dataclass(frozen=True)
class Subject:
    """A peer in one of its ways: `numpyro:sequential`."""

    peer: str
    method: str
    python: str

    @property
    def name(self) -> str:
        return f"{self.peer}:{self.method}" if self.method else self.peer


def read_options() -> argparse.Namespace:
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--posterior", default="eight_schools_noncentred", help="names with commas, or all")
    command.add_argument("--figure", default="gradient,leapfrog,cold,warm")
    command.add_argument("--subjects", default=DEFAULT_SUBJECTS, help=f"default {DEFAULT_SUBJECTS}")
    command.add_argument("--pyroxene", metavar="PYTHON", default=sys.executable)
    command.add_argument("--numpyro", metavar="PYTHON", help="an interpreter with numpyro and jax")
    command.add_argument("--pymc", metavar="PYTHON", help="an interpreter with pymc, nutpie and numba")
    command.add_argument("--stan", metavar="PYTHON", help="an interpreter with pystan")
    command.add_argument("--pyro", metavar="PYTHON", help="an interpreter with pyro-ppl")
    command.add_argument("--pyro-full", action="store_true", help="Pyro too runs everything; else 1 chain of 100 + 100")
    command.add_argument("--rounds", type=int, default=3, help="turns of each subject (default 3)")
    command.add_argument("--seeds", type=int, default=20, help="warm runs of each subject (default 20)")
    command.add_argument("--chains", type=int, default=4)
    command.add_argument("--warmup", type=int, default=1000)
    command.add_argument("--draws", type=int, default=1000)
    command.add_argument("--timeout", type=float, default=1800.0, help="seconds a process may take")
    command.add_argument("--json", metavar="FILE", help="where results go")
    return command.parse_args()


def subjects(options: argparse.Namespace) -> list[Subject]:
    """Return the subjects that have an interpreter; say which have none."""
    interpreters = {peer: getattr(options, "pymc" if peer == "nutpie" else peer) for peer in PEERS}
    found = []
    for entry in options.subjects.split(","):
        peer, _, method = entry.partition(":")
        if peer not in PEERS:
            raise SystemExit(f"no subject {peer!r}; there are: {', '.join(PEERS)}")
        if interpreters[peer] is None:
            print(f"{entry}: left out, no interpreter given (--{'pymc' if peer == 'nutpie' else peer} PYTHON)")
        else:
            found.append(Subject(peer, method, interpreters[peer]))
    return found


def environment(subject: Subject, caches: Path | None) -> dict[str, str]:
    """Return a process's environment: its caches in a folder of their own where one is given."""
    found = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if subject.peer == "pyroxene":
        found["PYTHONPATH"] = str(HERE.parents[1])
    if caches is not None:
        found["XDG_CACHE_HOME"] = found["NUMBA_CACHE_DIR"] = str(caches)
        found["PYTENSOR_FLAGS"] = f"base_compiledir={caches}"
    return found


def start(subject: Subject, name: str, figure: str, folder: Path, caches: Path | None = None, **extra: Any) -> Any:
    """Run a peer's runner; return its figures with its wall time, or None after saying why there are none."""
    command = [subject.python, str(HERE / "peers" / f"{subject.peer}_runner.py"), "--posterior", name]
    command += ["--figure", figure, "--data", str(folder / f"{name}.npz"), "--out", str(folder)]
    label = f"{subject.name}-{time.monotonic_ns()}".replace(":", "-")
    command += ["--label", label, "--method", subject.method]
    timeout = extra.pop("timeout", None)
    for key, value in extra.items():
        command += [f"--{key.replace('_', '-')}", str(value)]
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            command, env=environment(subject, caches), capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{subject.name}, {name}, {figure}: no result within {timeout} s", flush=True)
        return None
    wall = time.perf_counter() - begin
    if done.returncode:
        reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        print(f"{subject.name}, {name}, {figure}: failed: {reason}", flush=True)
        return None
    return json.loads(done.stdout.splitlines()[-1]) | {"process_s": wall}


def sizes(subject: Subject, options: argparse.Namespace) -> dict[str, Any]:
    """Return chains, warm-up and draws; small ones for Pyro, which needs a millisecond a leapfrog."""
    if subject.peer == "pyro" and not options.pyro_full:
        return {"chains": 1, "warmup": 100, "draws": 100}
    return {"chains": options.chains, "warmup": options.warmup, "draws": options.draws}


def judge(name: str, run: dict[str, Any]) -> dict[str, Any]:
    """Return a warm run's figures: its effective draws, R-hat, and how far it is from its reference."""
    with np.load(run["file"]) as found:
        draws = {key: found[key] for key in found.files}
    least, largest, where = worst(draws)
    farthest = worst_z(name, draws)
    failed = largest > 1.05 or (farthest is not None and misses(farthest))
    kept = {key: value for key, value in run.items() if key != "file"}
    leapfrogs = run["leapfrogs"]
    return kept | {
        "ess": least,
        "where": where,
        "rhat": largest,
        "z": farthest,
        "failed": failed,
        "leapfrog_us": 1e6 * run["wall_s"] / leapfrogs,
        "ess_per_second": 0.0 if failed else least / run["wall_s"],
        "ess_per_gradient": 0.0 if failed else least / leapfrogs,
    }


def measure(name: str, figure: str, who: list[Subject], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return each subject's list of figures, one a round; subjects take turns."""
    results: dict[str, Any] = {subject.name: [] for subject in who}
    wanted = options.rounds if figure == "leapfrog" else options.seeds
    per_round = -(-wanted // options.rounds)
    for turn in range(options.rounds):
        for subject in who:
            extra = {"timeout": options.timeout}
            if figure == "cold":
                if subject.peer == "pyro" and not options.pyro_full:
                    continue
                with tempfile.TemporaryDirectory() as caches:
                    found = start(
                        subject, name, "cold", folder, Path(caches), **sizes(subject, options), first_seed=turn, **extra
                    )
                    again = found and start(
                        subject, name, "cold", folder, Path(caches), **sizes(subject, options), first_seed=turn, **extra
                    )
                if found and again:
                    found["cached_process_s"] = again["process_s"]
            elif figure == "gradient":
                found = start(subject, name, "gradient", folder, **extra)
            else:
                seeds = 1 if subject.peer == "pyro" else min(per_round, wanted - turn * per_round)
                if seeds < 1:
                    continue
                extra |= sizes(subject, options) | {"seeds": seeds, "first_seed": turn * per_round}
                found = start(subject, name, "warm", folder, **extra)
                if found:
                    found["runs"] = [judge(name, run) for run in found["runs"]]
                    typical = statistics.median(run["wall_s"] for run in found["runs"])
                    if subject.peer == "pyroxene" and found["compile_s"]:
                        found["compile_s"] = max(0.0, found["compile_s"] - typical)
            if found:
                results[subject.name].append(found)
    return results


def columns(figure: str, rounds: list[dict[str, Any]], full: bool) -> dict[str, list[float]]:
    """Return the printed figures of one subject, each with its value in every round."""
    if figure == "gradient":
        return {"gradient_us": [found["gradient_us"] for found in rounds]}
    if figure == "cold":
        return {
            "cold_s": [found["process_s"] for found in rounds],
            "cached_s": [found["cached_process_s"] for found in rounds if "cached_process_s" in found],
        }
    of_runs = [found["runs"] for found in rounds]
    each = {"leapfrog_us": [statistics.median(run["leapfrog_us"] for run in runs) for runs in of_runs]}
    each["compile_s"] = [found["compile_s"] for found in rounds if found["compile_s"] is not None]
    if full:
        for key in ("ess_per_second", "ess_per_gradient"):
            each[key] = [geometric_mean([run[key] for run in runs]) for runs in of_runs]
        each["rhat"] = [max(run["rhat"] for run in runs) for runs in of_runs]
        each["fails"] = [statistics.mean(run["failed"] for run in runs) for runs in of_runs]
        each["ess"] = [statistics.median(run["ess"] for run in runs) for runs in of_runs]
        each["leapfrogs"] = [statistics.median(run["leapfrogs"] for run in runs) for runs in of_runs]
        each["wall_s"] = [statistics.median(run["wall_s"] for run in runs) for runs in of_runs]
    return each


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean of the runs that did not fail, times their share: a failed run counts as zero."""
    kept = [value for value in values if value > 0]
    return len(kept) / len(values) * statistics.geometric_mean(kept) if kept else 0.0


def tell(name: str, figure: str, results: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Print a table of medians and of ratios to the first subject that has results; return both."""
    told: dict[str, Any] = {}
    table = {who: columns(figure, rounds, figure == "warm") for who, rounds in results.items() if rounds}
    if not table:
        return told
    base = next(iter(table))
    print(f"\n{name}, {figure}: medians of {options.rounds} rounds; in brackets the ratio to {base}, round by round")
    for who, each in table.items():
        cells = []
        told[who] = {}
        for key, values in each.items():
            if not values:
                continue
            pairs = [a / b for a, b in zip(values, table[base].get(key, [])) if b]
            ratio = statistics.median(pairs) if pairs else None
            told[who][key] = {"median": statistics.median(values), "rounds": values, "ratio": ratio}
            compared = key in ("gradient_us", "leapfrog_us", "cold_s", "cached_s", "ess_per_second", "ess_per_gradient")
            shown = f" ({ratio:.3g})" if compared and ratio is not None and who != base else ""
            cells.append(f"{key} {statistics.median(values):.4g}{shown}")
        print(f"  {who:<20} " + "   ".join(cells), flush=True)
    return told


def main() -> None:
    """Run what was asked for."""
    options = read_options()
    who = subjects(options)
    names = posteriors.NAMES if options.posterior == "all" else tuple(options.posterior.split(","))
    figures = options.figure.split(",")
    if "warm" in figures and "leapfrog" in figures:
        figures.remove("leapfrog")  # the warm runs hold it
    everything: dict[str, Any] = {
        "machine": {"processor": platform.processor(), "system": platform.platform(), "processors": os.cpu_count()},
        "options": {key: value for key, value in vars(options).items() if key not in {*PEERS, "pymc", "json"}},
        "results": {},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in names:
            np.savez(folder / f"{name}.npz", **posteriors.load(name).data())
            for figure in figures:
                raw = measure(name, figure, who, options, folder)
                told = tell(name, figure, raw, options)
                everything["results"].setdefault(name, {})[figure] = {"summary": told, "raw": raw}
                if options.json:
                    Path(options.json).write_text(json.dumps(everything, indent=1))


if __name__ == "__main__":
    main()
