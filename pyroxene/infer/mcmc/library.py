"""The sampler's library: csrc/ built and loaded, its doors with their types."""

from __future__ import annotations

import ctypes
import functools
from importlib import resources

from pyroxene.compiler.engines.native.build import load_library
from pyroxene.infer.mcmc.random_stream import ziggurat_header

__all__ = ["sampler_library"]

_HEADERS = ("vector.h", "random.h", "sampler.h", "metric.h", "trajectory.h", "adaptation.h", "fisher.h")


@functools.cache
def sampler_library() -> ctypes.CDLL:
    """Return the sampler's library, built once for a machine.

    Raises:
        CompilerError: there is no C compiler, or it failed; use `reference.ReferenceSampler`.
    """
    folder = resources.files("pyroxene.infer.mcmc").joinpath("csrc")
    headers = {name: folder.joinpath(name).read_text(encoding="utf8") for name in _HEADERS}
    headers["ziggurat.h"] = ziggurat_header()
    library = load_library(folder.joinpath("sampler.c").read_text(encoding="utf8"), name="sampler", headers=headers)
    integer, pointer, number = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
    for name, result, arguments in (
        ("bytes", integer, [integer] * 4),
        ("create", None, [pointer, *[integer] * 4, ctypes.c_uint64, ctypes.c_uint64]),
        ("start", None, [pointer, pointer]),
        ("draw", pointer, [pointer]),
        ("draw_gradient", pointer, [pointer]),
        ("set_metric", None, [pointer, integer, integer, pointer, pointer]),
        ("get", number, [pointer, integer]),
        ("set", None, [pointer, integer, number]),
        ("search", None, [pointer]),
        ("restart_averaging", None, [pointer, number]),
        ("run", integer, [pointer, pointer, pointer, pointer, pointer]),
        ("wanted", None, [pointer, integer, pointer, pointer]),
        ("step_chains", integer, [pointer, pointer, integer, pointer, pointer, pointer, pointer]),
        ("least_divergence", integer, [pointer, pointer, integer, integer, *[pointer] * 4]),
        ("run_chains", None, [pointer, pointer, integer, integer, *[pointer] * 7]),
    ):
        function = getattr(library, f"sampler_{name}")
        function.restype, function.argtypes = result, arguments
    return library
