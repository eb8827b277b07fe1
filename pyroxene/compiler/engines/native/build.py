"""From C source to a loaded library: found in the cache, or built and put there."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

from pyroxene.compiler.engines.native import cache
from pyroxene.compiler.engines.native.toolchain import EXACT_FLAGS, Toolchain, find_toolchain
from pyroxene.errors import CompilerError
from pyroxene.logger import log

__all__ = ["close_with", "load_library"]

_said: set[str] = set()


def _key(source: str, name: str, flags: tuple[str, ...], headers: Mapping[str, str], toolchain: Toolchain) -> str:
    parts = [source, toolchain.identity, *flags, *(f"{file}\n{text}" for file, text in sorted(headers.items()))]
    digest = hashlib.sha256("\0".join(parts).encode("utf8")).hexdigest()
    return f"{name}-{digest[:24]}"


def load_library(
    source: str, *, name: str, flags: tuple[str, ...] = EXACT_FLAGS, headers: Mapping[str, str] | None = None
) -> ctypes.CDLL:
    """Return the library of a C source, built at most once for this machine.

    Args:
        source: one C file.
        name: what its files are called in the cache, before the key.
        flags: of the compiler, besides those for the processor.
        headers: files that the source includes, by name.

    Raises:
        CompilerError: there is no compiler, it fails, or no folder allows libraries to be loaded from it.
    """
    toolchain = find_toolchain()
    key = _key(source, name, flags, headers or {}, toolchain)
    found = cache.find(key)
    if found is not None:
        try:
            return ctypes.CDLL(str(found))
        except OSError as error:  # half a file after a crash, or a folder that forbids execution
            _say_once(f"{found} cannot be loaded ({error}); building anew")
    folder = Path(tempfile.mkdtemp(prefix="pyroxene-"))
    try:
        for file, text in (headers or {}).items():
            (folder / file).write_text(text, encoding="utf8")
        (folder / f"{name}.c").write_text(source, encoding="utf8")
        built = folder / f"{name}.so"
        toolchain.compile(str(folder / f"{name}.c"), str(built), flags)
        return _load(built, key, source)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _load(built: Path, key: str, source: str) -> ctypes.CDLL:
    """Load from the cache where it takes the library, else from where it was built."""
    try:
        return ctypes.CDLL(str(cache.store(key, built, source)))
    except OSError as error:
        _say_once(f"compiled models are not kept from run to run: {error}; set PYROXENE_CACHE to a writable folder")
    try:
        return ctypes.CDLL(str(built))
    except OSError as error:
        raise CompilerError(
            f"a compiled model cannot be loaded: {error}",
            expected="a folder whose files may be executed",
            got=f"{os.fspath(cache.cache_directory())} and {built.parent.parent}",
            hint="set PYROXENE_CACHE, or TMPDIR, to such a folder",
        ) from error


def _say_once(text: str) -> None:
    if text not in _said:
        _said.add(text)
        log.warning(text)


def close_with(owner: object, library: ctypes.CDLL) -> None:
    """Unload a library when its owner dies; nothing may call into it afterwards."""
    try:
        from _ctypes import dlclose
    except ImportError:  # Windows
        return
    weakref.finalize(owner, dlclose, library._handle).atexit = False
