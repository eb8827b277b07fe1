#!/usr/bin/env python3
"""Run programs written for Pyro on pyro-ppl and on pyroxene, and compare what they print.

Usage: python scripts/compare_programs.py PYRO_PYTHON PYROXENE_PYTHON [PROGRAM ...] [--exact] [--rtol 1e-3]

PYRO_PYTHON is an interpreter that has pyro-ppl, PYROXENE_PYTHON one that can import pyroxene. Without programs, those
of tests/programs are compared. Numbers must agree within a relative tolerance, or to the printed digit with --exact;
all else must be the same. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "tests" / "programs"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?(?!\w)")


def programs() -> list[Path]:
    """The stored programs, in order of name."""
    return sorted(path for path in PROGRAMS.glob("*.py") if path.name != "conftest.py")


def run(command: list[str], timeout: float) -> tuple[str, str, int, float]:
    """Run a command with one thread; its output, its errors, its exit code and its seconds."""
    start = time.perf_counter()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout, check=False)
    return done.stdout, done.stderr, done.returncode, time.perf_counter() - start


def differences(expected: str, got: str, rtol: float = 1e-3, atol: float = 1e-6) -> list[str]:
    """Describe each line that differs: another text around its numbers, or a number that is off.

    Args:
        expected: what should be printed.
        got: what was printed.
        rtol: how far a number may be off, relative to the expected one; 0 asks for the same number.
        atol: how far it may be off however small it is; counts only where rtol is not 0.

    Returns:
        A description for each line that differs; an empty list if none does.
    """
    left, right = expected.splitlines(), got.splitlines()
    found = [f"{len(left)} lines expected, {len(right)} printed"] if len(left) != len(right) else []
    for place, (line, other) in enumerate(zip(left, right), start=1):
        same = NUMBER.sub("#", line.rstrip()) == NUMBER.sub("#", other.rstrip())
        if not (same and all(_close(a, b, rtol, atol) for a, b in zip(NUMBER.findall(line), NUMBER.findall(other)))):
            found.append(f"line {place}:\n  expected {line}\n  printed  {other}")
    return found


def _close(expected: str, got: str, rtol: float, atol: float) -> bool:
    a, b = float(expected), float(got)
    return a == b or (rtol > 0 and abs(a - b) <= max(rtol * abs(a), atol))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pyro_python", help="an interpreter that has pyro-ppl")
    parser.add_argument("pyroxene_python", help="an interpreter that can import pyroxene")
    parser.add_argument("programs", nargs="*", type=Path, help="scripts to compare; all of tests/programs if none")
    parser.add_argument("--exact", action="store_true", help="numbers must agree to the printed digit")
    parser.add_argument("--rtol", type=float, default=1e-3, help="relative tolerance (1e-3)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds a program may take (120)")
    options = parser.parse_args()

    failed = 0
    for program in options.programs or programs():
        path = str(program.resolve())
        theirs, their_errors, their_code, their_time = run([options.pyro_python, path], options.timeout)
        ours, our_errors, our_code, our_time = run(
            [options.pyroxene_python, "-m", "pyroxene", "run", path], options.timeout
        )
        found = differences(theirs, ours, rtol=0.0 if options.exact else options.rtol)
        for who, code, errors in (("pyro-ppl", their_code, their_errors), ("pyroxene", our_code, our_errors)):
            if code:
                found.append(f"{who} ended with exit code {code}:\n{errors.rstrip()}")
        failed += bool(found)
        verdict = "differs" if found else "agrees"
        print(f"{program.stem:16}{verdict:8}  pyro-ppl {their_time:.1f} s, pyroxene {our_time:.1f} s", flush=True)
        for difference in found:
            print("    " + difference.replace("\n", "\n    "))
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
