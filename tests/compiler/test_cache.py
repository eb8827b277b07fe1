"""Compiled libraries on disk: found again, bounded, private, and never the reason for a crash."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

import pytest

import pyroxene
from pyroxene.cli import main
from pyroxene.compiler.engines.native import build, cache, toolchain
from pyroxene.compiler.engines.native.build import load_library
from pyroxene.errors import CompilerError


def source(number: int) -> str:
    return f"double f(double x) {{ return {number} * x; }}"


def call(library) -> float:
    import ctypes

    library.f.restype, library.f.argtypes = ctypes.c_double, [ctypes.c_double]
    return library.f(2.0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PYROXENE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "_said", set())
    return tmp_path / "cache"


@pytest.fixture
def compiles(monkeypatch):
    """How often the compiler was called."""
    calls = []
    real = toolchain.Toolchain.compile

    def compile(self, *arguments):
        calls.append(arguments)
        return real(self, *arguments)

    monkeypatch.setattr(toolchain.Toolchain, "compile", compile)
    return calls


def test_the_second_time_nothing_is_built(folder, compiles):
    assert call(load_library(source(3), name="one")) == 6.0
    assert call(load_library(source(3), name="one")) == 6.0
    assert len(compiles) == 1
    assert call(load_library(source(4), name="one")) == 8.0
    assert call(load_library(source(3), name="one", flags=("-O0", "-shared", "-fPIC"))) == 6.0
    assert len(compiles) == 3
    (entry, *_) = cache.entries()
    assert entry.path.with_suffix(".c").read_text().startswith("double f")


def test_another_processor_builds_anew(folder, compiles, monkeypatch):
    load_library(source(3), name="one")
    monkeypatch.setattr(toolchain, "processor", lambda: "another")
    load_library(source(3), name="one")
    assert len(compiles) == 2


def test_the_folder_is_private(folder):
    load_library(source(3), name="one")
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.name == "nt", reason="modes of folders are POSIX's")
def test_a_folder_that_others_may_write_is_not_trusted(folder, compiles, caplog):
    load_library(source(3), name="one")
    folder.chmod(0o777)
    with caplog.at_level(logging.WARNING, logger="pyroxene"):
        assert call(load_library(source(3), name="one")) == 6.0
        assert call(load_library(source(5), name="one")) == 10.0
    assert len(compiles) == 3
    assert len(caplog.records) == 1
    assert "PYROXENE_CACHE" in caplog.text


def test_a_cache_that_cannot_be_written_is_said_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PYROXENE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(build, "_said", set())
    with caplog.at_level(logging.WARNING, logger="pyroxene"):
        assert call(load_library(source(3), name="one")) == 6.0
        assert call(load_library(source(4), name="one")) == 8.0
    assert len(caplog.records) == 1


def test_a_full_disk_leaves_no_half_file(folder, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    load_library(source(3), name="one")
    monkeypatch.setattr(cache.os, "replace", full)
    with caplog.at_level(logging.WARNING, logger="pyroxene"):
        assert call(load_library(source(4), name="one")) == 8.0
    assert "No space left" in caplog.text
    assert len(cache.entries()) == 1
    assert not list(folder.glob(".writing-*"))


def test_a_broken_library_is_built_anew(folder, compiles, caplog):
    program = (
        f"from pyroxene.compiler.engines.native.build import load_library\nload_library({source(3)!r}, name='one')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)  # another process: this one would find it loaded
    (entry,) = cache.entries()
    entry.path.write_bytes(b"half a file")
    with caplog.at_level(logging.WARNING, logger="pyroxene"):
        assert call(load_library(source(3), name="one")) == 6.0
    assert len(compiles) == 1


def test_the_size_is_bounded(folder):
    load_library(source(1), name="one")
    size = cache.entries()[0].size
    with pyroxene.settings.context(native_cache_megabytes=3.5 * size / 2**20):
        for number in range(2, 7):
            load_library(source(number), name="one")
            os.utime(cache.find(cache.entries()[0].path.stem) or "", (number, number))
    assert len(cache.entries()) == 3


def test_threads_and_processes_may_build_the_same(folder):
    program = (
        "from pyroxene.compiler.engines.native.build import load_library\n"
        "load_library('double f(double x) { return 7 * x; }', name='same')"
    )
    others = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(2)]
    results = []

    def build_and_call():
        results.append(call(load_library(source(7), name="same")))

    threads = [threading.Thread(target=build_and_call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    assert results == [14.0] * 4
    assert len(cache.entries()) == 1


def test_a_failing_compiler_says_what_it_said(folder):
    with pytest.raises(CompilerError) as caught:
        load_library("this is no C", name="one")
    assert "error" in str(caught.value)
    assert cache.entries() == []


def test_without_a_compiler(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "_ziglang", lambda: None)
    with pytest.raises(CompilerError, match=r"no C compiler") as caught:
        load_library(source(3), name="one")
    assert "pyroxene[fast]" in (caught.value.hint or "")


def test_a_broken_compiler_is_passed_over(folder, monkeypatch, tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    assert call(load_library(source(3), name="one")) == 6.0


def test_the_command_line_shows_and_clears(folder, capsys):
    load_library(source(3), name="shown")
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "shown-" in shown and "1 compiled models" in shown and str(folder) in shown
    assert main(["cache", "clear"]) == 0
    assert "1 compiled models removed" in capsys.readouterr().out
    assert cache.entries() == []
