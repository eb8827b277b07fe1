"""Built libraries on disk, by content: private to the user, written atomically, bounded in size."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pyroxene import settings

__all__ = ["Entry", "cache_directory", "clear", "entries", "find", "prune", "store"]

SUFFIX = ".so"
"""Also on macOS, where ctypes loads a library of any name."""


@dataclass(frozen=True)
class Entry:
    """One built library; final.

    Attributes:
        path: of the library.
        size: of the library and its source, in bytes.
        used: when it was last loaded, in seconds since 1970.
    """

    path: Path
    size: int
    used: float


def cache_directory() -> Path:
    """Return the folder of built libraries: $PYROXENE_CACHE, else `pyroxene` in the user's cache folder."""
    chosen = os.environ.get("PYROXENE_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "pyroxene"
    home = Path.home()
    return home / "Library" / "Caches" / "pyroxene" if sys.platform == "darwin" else home / ".cache" / "pyroxene"


def _usable() -> Path:
    """Return the folder, made where it is missing.

    Raises:
        OSError: it cannot be made, or others may write to it, who could then run code as this user.
    """
    folder = cache_directory()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid"):
        status = folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(f"{folder} can be written by others; not trusted with code")
    return folder


def find(key: str) -> Path | None:
    """Return the path of a built library, or None. Marks it as used."""
    try:
        path = _usable() / (key + SUFFIX)
        if not path.exists():
            return None
    except (OSError, RuntimeError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return path


def store(key: str, library: Path, source: str) -> Path:
    """Move a library into the cache, its C source beside it, and return its new path.

    Readers see the whole file or none, and of two processes that build the same both are right.

    Raises:
        OSError: the folder is full, read-only or not private.
    """
    folder = _usable()
    _write(folder / (key + ".c"), source.encode("utf8"))
    path = folder / (key + SUFFIX)
    _write(path, library.read_bytes())
    prune(settings.value_of("native_cache_megabytes") * 2**20)
    return path


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o600 if path.suffix == ".c" else 0o700)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def entries() -> list[Entry]:
    """Return the libraries in the cache, the last used first."""
    found = []
    for path in cache_directory().glob("*" + SUFFIX):
        with contextlib.suppress(OSError):  # another process may clear it meanwhile
            status = path.stat()
            source = path.with_suffix(".c")
            size = status.st_size + (source.stat().st_size if source.exists() else 0)
            found.append(Entry(path, size, status.st_mtime))
    return sorted(found, key=lambda entry: -entry.used)


def _remove(entry: Entry) -> None:
    for path in (entry.path, entry.path.with_suffix(".c")):
        with contextlib.suppress(OSError):
            path.unlink()


def prune(limit: float) -> None:
    """Remove what was used longest ago until the rest takes at most `limit` bytes."""
    total = 0
    for entry in entries():
        total += entry.size
        if total > limit:
            _remove(entry)


def clear() -> int:
    """Remove everything, and return how many libraries there were."""
    found = entries()
    for entry in found:
        _remove(entry)
    return len(found)
