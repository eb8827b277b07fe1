"""Which C compiler this machine has, what it is called with, and what the processor can do."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass

from pyroxene.errors import CompilerError

__all__ = ["DENSITY_FLAGS", "EXACT_FLAGS", "Toolchain", "find_toolchain", "processor"]

_COMMON = ("-std=gnu11", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd")

DENSITY_FLAGS = (*_COMMON, "-ffp-contract=fast")
"""For emitted densities. -inf and nan are values there, so never -ffast-math or -ffinite-math-only."""

EXACT_FLAGS = (*_COMMON, "-ffp-contract=off")
"""For samplers: each operation rounds once, as in the Python reference that they are held equal to."""


@dataclass(frozen=True)
class Toolchain:
    """A C compiler; final.

    Attributes:
        command: how it is called, without flags.
        version: the first line that it says of itself.
        target_flags: what makes it use this processor's instructions.
    """

    command: tuple[str, ...]
    version: str
    target_flags: tuple[str, ...]

    @property
    def identity(self) -> str:
        """Everything about the compiler and the processor that changes what is built."""
        return "\n".join((*self.command, self.version, *self.target_flags, processor()))

    def compile(self, source: str, target: str, flags: tuple[str, ...]) -> None:
        """Build a shared library from one C file.

        Args:
            source: path of the C file.
            target: path of the library.
            flags: besides those of the processor.

        Raises:
            CompilerError: the compiler failed; the message holds what it said.
        """
        command = [*self.command, *flags, *self.target_flags, "-o", target, source, "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        except OSError as error:
            raise CompilerError(
                f"the C compiler could not be started: {error}", expected="a working C compiler", got=self.command[0]
            ) from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise CompilerError(
                "the C compiler failed",
                expected="exit status 0",
                got=f"exit status {done.returncode} of {self.version}: {said[:2000]}",
                hint="set CC to a working C compiler (gcc 9 or newer, clang 12 or newer)",
            )


def _version_of(command: tuple[str, ...]) -> str | None:
    try:
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return said.stdout.strip().partition("\n")[0] if said.returncode == 0 and said.stdout.strip() else None


def _candidates() -> list[tuple[str, ...]]:
    chosen = os.environ.get("CC")
    found: list[tuple[str, ...]] = [tuple(shlex.split(chosen))] if chosen else []
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path:
            found.append((path,))
    return found


def _ziglang() -> tuple[str, ...] | None:
    """The compiler that `pip install pyroxene[fast]` brings: `python -m ziglang cc`."""
    from importlib.util import find_spec

    return (sys.executable, "-m", "ziglang", "cc") if find_spec("ziglang") is not None else None


def find_toolchain() -> Toolchain:
    """Return the C compiler of this machine: $CC, cc, gcc, clang, else the one of the package ziglang.

    Raises:
        CompilerError: there is none.
    """
    return _find_toolchain(os.environ.get("PATH", ""), os.environ.get("CC", ""))


@functools.lru_cache(maxsize=8)
def _find_toolchain(path: str, chosen: str) -> Toolchain:
    for command in _candidates():
        version = _version_of(command)
        if version is not None:
            return Toolchain(command, version, _target_flags())
    zig = _ziglang()
    if zig is not None:
        version = _version_of(zig)
        if version is not None:
            return Toolchain(zig, f"ziglang {version}", _target_flags())
    raise CompilerError(
        "this machine has no C compiler",
        expected="cc, gcc or clang on the PATH, or the package ziglang",
        got=f"PATH={path}" + (f", CC={chosen}" if chosen else ""),
        hint="pip install pyroxene[fast] brings one; until then everything runs on eager PyTorch",
    )


def _target_flags() -> tuple[str, ...]:
    if platform.machine().lower() in ("x86_64", "amd64"):
        return ("-march=native", "-mprefer-vector-width=512") if "avx512f" in processor() else ("-march=native",)
    return ("-mcpu=native",)


@functools.lru_cache(maxsize=1)
def processor() -> str:
    """Return the processor's name and features: a library built for one may not run on another."""
    try:
        with open("/proc/cpuinfo", encoding="utf8") as lines:
            wanted = ("model name", "flags", "Features", "CPU part")
            return "\n".join(dict.fromkeys(line.strip() for line in lines if line.startswith(wanted)))
    except OSError:
        return f"{platform.machine()} {platform.processor()} {platform.platform()}"
