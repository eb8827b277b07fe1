"""The command line: `python -m pyroxene COMMAND`, one row of `COMMANDS` for each command."""

from __future__ import annotations

import argparse
import importlib.util
import os
import runpy
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from types import ModuleType, TracebackType

import pyroxene
from pyroxene import compat
from pyroxene.compiler.engines.native import cache

__all__ = ["COMMANDS", "Command", "main"]


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        summary: what it does, in a line of `--help`.
        run: takes the arguments after the command's name, returns the exit code.
    """

    summary: str
    run: Callable[[list[str]], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after `python -m pyroxene`; those of this process where they are not given.

    Returns:
        The exit code: 0 if all went well, 1 if the program failed, 2 if the command line is wrong.

    Example:
        >>> main(["--help"])
        Traceback (most recent call last):
        SystemExit: 0
    """
    own, rest = _split(sys.argv[1:] if arguments is None else arguments)
    commands = "\n".join(f"  {name:8}{command.summary}" for name, command in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="pyroxene",
        description="Probabilistic programs in Python and PyTorch.",
        epilog=f"commands:\n{commands}\n\n`pyroxene COMMAND --help` says more about each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pyroxene {pyroxene.__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    return COMMANDS[parser.parse_args(own).command].run(rest)


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Cut after the first word that is no option: what follows belongs to the command, or to the user's script."""
    end = next((place for place, word in enumerate(arguments, start=1) if not word.startswith("-")), len(arguments))
    return list(arguments[:end]), list(arguments[end:])


# ---------------------------------------------------------------------------------------------------------------- run


def _run(arguments: list[str]) -> int:
    """Run a script or a module as `__main__`, with `import pyro` giving pyroxene."""
    own, rest = _split(arguments)
    parser = argparse.ArgumentParser(
        prog="pyroxene run",
        description="Run a program as `python TARGET ARGS...` would, with `import pyro` giving pyroxene.",
        usage="pyroxene run [-h] [-m] TARGET ARGS...",
    )
    parser.add_argument("-m", dest="module", action="store_true", help="TARGET is a module, as in `python -m TARGET`")
    parser.add_argument("target", metavar="TARGET", help="the path of a script, or with -m the name of a module")
    options = parser.parse_args(own)
    compat.install()
    sys.argv = [options.target, *rest]
    try:
        return (_run_module if options.module else _run_script)(options.target)
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001  we stand where the interpreter's own last resort stands
        trace = _user_part(error.__traceback__)
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return 130 if isinstance(error, KeyboardInterrupt) else 1


def _refuse(reason: str, code: int) -> int:
    print(f"pyroxene run: {reason}", file=sys.stderr)
    return code


def _set_first_path(folder: str) -> None:
    """Put a folder in the place that Python gives to the script's own."""
    if not getattr(sys.flags, "safe_path", False):
        sys.path[:1] = [folder]


def _run_script(path: str) -> int:
    """Execute a source file in a new `__main__`, which stays there for threads and exit handlers."""
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        return _refuse(f"cannot open {path!r}: {error.strerror}", code=2)
    full = os.path.abspath(path)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    module = ModuleType("__main__")
    module.__dict__.update(__file__=full, __builtins__=__builtins__, __loader__=SourceFileLoader("__main__", full))
    sys.modules["__main__"] = module
    exec(compile(source, full, "exec", dont_inherit=True), module.__dict__)
    return 0


def _run_module(name: str) -> int:
    _set_first_path(os.getcwd())
    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if not error.name or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module's parent is there and imports something that is not
        found = None
    if found is None:
        return _refuse(f"no module named {name!r}", code=1)
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    return 0


def _user_part(trace: TracebackType | None) -> TracebackType | None:
    """Drop the frames of this file and of runpy from the top of a traceback."""
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, "<frozen runpy>", runpy.__file__):
        trace = trace.tb_next
    return trace


# -------------------------------------------------------------------------------------------------------------- cache


def _cache(arguments: list[str]) -> int:
    """Show or clear the compiled models on disk."""
    parser = argparse.ArgumentParser(prog="pyroxene cache", description="Show, or clear, the compiled models on disk.")
    parser.add_argument("action", nargs="?", choices=("show", "clear"), default="show")
    action = parser.parse_args(arguments).action
    folder = cache.cache_directory()
    if action == "clear":
        print(f"{cache.clear()} compiled models removed from {folder}")
        return 0
    found = cache.entries()
    for entry in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        print(f"{used}  {entry.size / 2**10:8.0f} KiB  {entry.path.name}")
    limit = pyroxene.settings.get("native_cache_megabytes")
    print(f"{len(found)} compiled models, {sum(entry.size for entry in found) / 2**20:.1f} of {limit} MiB, in {folder}")
    return 0


COMMANDS: dict[str, Command] = {
    "run": Command("run a program written for Pyro, unchanged, on pyroxene", _run),
    "cache": Command("show the compiled models on disk, or clear them", _cache),
}
"""Every command by its name on the command line."""
