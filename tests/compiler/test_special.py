"""The functions of `csrc/special.h` against mpmath, built by each compiler there is; and the loops that use them."""

from __future__ import annotations

import ctypes
import math
import shutil
import sys
from importlib.resources import files
from importlib.util import find_spec

import mpmath as mp
import numpy as np
import pytest
import torch

from pyroxene.compiler.compile import compile_native
from pyroxene.compiler.engines.native.toolchain import DENSITY_FLAGS, Toolchain, find_toolchain

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler on the path"
)

NAMES = [f"{name}{form}" for name in ("lgamma", "digamma", "trigamma", "erfcx") for form in ("", "_positive")]
_LOOP = """
void loop_%s(const double *x, double *restrict y, long n) {
#pragma omp simd
    for (long i = 0; i < n; i++) y[i] = pyroxene_%s(x[i]);
}
"""
_FEWER = ("-mno-avx512f",)
"""The same loops with AVX2 where the processor has AVX-512."""


def toolchains() -> list[Toolchain]:
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        return []
    found = find_toolchain()
    others = []
    if "-march=native" in found.target_flags:
        others.append(Toolchain(found.command, found.version, ("-march=native", *_FEWER)))
    if find_spec("ziglang") is not None:
        others.append(Toolchain((sys.executable, "-m", "ziglang", "cc"), "zig", ("-w", *found.target_flags[:1])))
    return [found, *others]


@pytest.fixture(scope="module", params=toolchains(), ids=lambda chain: f"{chain.version[:3]} {chain.target_flags[-1]}")
def library(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("special")
    headers = [files("pyroxene.compiler").joinpath("csrc", name).read_text() for name in ("prelude.h", "special.h")]
    (folder / "all.c").write_text("\n".join([*headers, *(_LOOP % (name, name) for name in NAMES)]))
    request.param.compile(str(folder / "all.c"), str(folder / "all.so"), DENSITY_FLAGS)
    return ctypes.CDLL(str(folder / "all.so"))


def computed(library, name: str, x: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(x, dtype=np.float64)
    y = np.empty_like(x)
    loop = getattr(library, f"loop_{name}")
    loop(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_long(len(x)))
    return y


def errors(library, name: str, exact, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return absolute and relative errors."""
    with mp.workdps(50):
        truths = [exact(mp.mpf(float(v))) for v in x]
        off = [abs(mp.mpf(float(v)) - truth) for v, truth in zip(computed(library, name, x), truths)]
        return np.array([float(o) for o in off]), np.array(
            [float(o / abs(t)) if t else 0.0 for o, t in zip(off, truths)]
        )


def grid() -> np.ndarray:
    """Positive arguments: dense to 12, of every magnitude, near the zeros of log gamma, where formulas meet."""
    generator = np.random.default_rng(1)
    near = 10.0 ** generator.uniform(-15, -1, 100)
    joints = [c + d for c in (0.5, 1.5, 2.5, 3.5, 4.5, 5.0, 6.0) for d in (-1e-9, -1e-15, 0.0, 1e-15, 1e-9)]
    magnitudes = 10.0 ** np.concatenate([generator.uniform(-12, 4, 300), generator.uniform(-140, 140, 200)])
    return np.concatenate([np.linspace(1e-3, 12, 700), magnitudes, 1 + near, 1 - near, 2 + near, 2 - near, joints])


def below_zero() -> np.ndarray:
    return -np.concatenate([np.linspace(1e-3, 12, 400) + 1e-5, 10.0 ** np.random.default_rng(2).uniform(-140, 2, 200)])


def log_gamma(x):
    if x > 1e20:
        return (x - 0.5) * mp.log(x) - x + mp.log(2 * mp.pi) / 2
    return mp.loggamma(x) if x > 0 else mp.log(abs(mp.pi / mp.sinpi(x))) - mp.loggamma(1 - x)


def scaled_erfc(x):
    if x > 1e4:
        return (1 - 1 / (2 * x**2) + 3 / (4 * x**4)) / (x * mp.sqrt(mp.pi))
    return mp.exp(x * x) * mp.erfc(x)


@pytest.mark.parametrize("form", ["", "_positive"])
def test_positive_arguments(library, form):
    x = grid()
    _, relative = errors(library, f"lgamma{form}", log_gamma, x)  # relative, near the zeros too
    assert relative.max() < 2e-15
    absolute, relative = errors(library, f"digamma{form}", lambda v: mp.psi(0, v), x)
    assert np.minimum(absolute, relative).max() < 2e-15
    _, relative = errors(library, f"trigamma{form}", lambda v: mp.psi(1, v), x)
    assert relative.max() < 2e-15
    _, relative = errors(library, f"erfcx{form}", scaled_erfc, x)
    assert relative.max() < 2e-15


def test_negative_arguments(library):
    x = below_zero()
    absolute, relative = errors(library, "lgamma", log_gamma, x)
    assert np.minimum(absolute, relative).max() < 4e-15
    absolute, relative = errors(library, "digamma", lambda v: mp.psi(0, v), x)
    assert np.minimum(absolute, relative).max() < 4e-15
    _, relative = errors(library, "trigamma", lambda v: mp.psi(1, v), x)
    assert relative.max() < 2e-15
    _, relative = errors(library, "erfcx", scaled_erfc, x[x > -26])
    assert relative.max() < 2e-15


def test_poles_and_infinities(library):
    ends = [0.0, -0.0, -1.0, -2.0, -1e20, -1e306, math.inf, -math.inf, math.nan, 1e308, 5e-324]
    x = torch.tensor([*ends, -1e-300, 1e-310, -0.5, 1e306], dtype=torch.float64)
    functions = {"lgamma": torch.lgamma, "digamma": torch.digamma, "erfcx": torch.special.erfcx}
    for name, function in functions.items():
        found = torch.from_numpy(computed(library, name, x.numpy()))
        torch.testing.assert_close(found, function(x), rtol=1e-12, atol=0.0, equal_nan=True)
    found = computed(library, "trigamma", x.numpy()).tolist()  # torch's has large numbers at its negative poles
    assert found[:5] == [math.inf] * 5 and found[6] == 0.0 and all(map(np.isnan, found[7:9]))


@pytest.mark.parametrize("function", [torch.lgamma, torch.digamma, torch.special.erfcx])
@pytest.mark.parametrize("low", [0.1, -4.9])
def test_loops_whose_arguments_turn_negative(function, low):
    """A loop takes the forms for positive arguments, and does its work once more where some argument is not."""
    x = torch.linspace(0.0, 1.0, 333, dtype=torch.float64) * 6.3

    def summed(z):
        return (function(x + z[0]) * torch.sin(x * z[1])).sum()

    z = torch.tensor([low, 0.7], dtype=torch.float64)
    native = compile_native(summed, torch.tensor([0.3, 0.7], dtype=torch.float64))
    assert "_positive(" in native.program.source and "if (below)" in native.program.source
    value, gradient = native.value_and_grad(z)
    leaf = z.clone().requires_grad_()
    expected = summed(leaf)
    (slope,) = torch.autograd.grad(expected, leaf)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradient, slope, rtol=1e-8, atol=1e-8)  # torch's trigamma is right to 1e-9


def log_normal(x):
    if x > 0:
        return mp.log1p(-mp.ncdf(-x))
    return mp.log(mp.ncdf(x)) if x > -1e4 else -(x**2) / 2 - mp.log(-x * mp.sqrt(2 * mp.pi))


def test_log_ndtr_far_out():
    """Value and slope from -1e8 to 30, where torch's are products of what neither underflows nor overflows."""
    x = torch.tensor([-1e8, -1e3, -40.0, -5.0, -1.0, -1e-9, 0.0, 1e-9, 1.0, 5.0, 9.0, 20.0, 30.0, 45.0]).double()
    with mp.workdps(50):
        exact = [log_normal(mp.mpf(v)) for v in x.tolist()]
        slopes = [mp.npdf(v) / mp.ncdf(v) if v > -1e4 else -mp.mpf(v) for v in x.tolist()]
    for position, number in enumerate(x.tolist()):
        native = compile_native(lambda z: torch.special.log_ndtr(z[0] * torch.ones(40)).sum() / 40, x[:1])
        value, gradient = native.value_and_grad(x[position : position + 1])
        assert value.item() == pytest.approx(float(exact[position]), rel=1e-12, abs=1e-300), number
        assert gradient.item() == pytest.approx(float(slopes[position]), rel=1e-12, abs=1e-300), number
