"""Densities on engines: equal to eager, chosen with a reason, picklable, rebuilt for nothing where nothing changed."""

from __future__ import annotations

import gc
import importlib.util
import pickle
import re
import subprocess
import sys
import weakref

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.compiler.engines.native import toolchain
from pyroxene.density import compiled as compiled_module
from pyroxene.density import explain, log_density
from pyroxene.errors import CaptureError, CompilerError, UsageError

torch.set_num_threads(1)
Y = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
SIGMA = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def eight_schools(y, sigma):
    mu = pyroxene.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyroxene.sample("tau", dist.HalfCauchy(5.0))
    with pyroxene.plate("schools", len(y)):
        raw = pyroxene.sample("raw", dist.Normal(0.0, 1.0))
        pyroxene.sample("y", dist.Normal(mu + tau * raw, sigma), obs=y)


def branching(y):
    x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
    scale = 1.0 if x > 0 else 2.0
    pyroxene.sample("y", dist.Normal(x, scale), obs=y)


def point(dim):
    return torch.linspace(-0.7, 0.9, dim, dtype=torch.float64)


def test_engines_agree():
    density = log_density(eight_schools, Y, SIGMA)
    z = point(density.dim)
    native, eager = density.compiled("native"), density.compiled("eager")
    assert (native.engine, eager.engine) == ("native", "eager")
    for compiled in (native, eager):
        value, gradient = compiled.value_and_grad(z)
        assert value.dtype == gradient.dtype == torch.float64
        assert value.item() == pytest.approx(density(z).item(), rel=1e-6)
    values, gradients = zip(*(native.value_and_grad(row) for row in torch.stack([z, -z])))
    for compiled in (native, eager):
        many, many_gradients = compiled.batched_value_and_grad(torch.stack([z, -z]))
        assert torch.allclose(many, torch.stack(values), rtol=1e-6)
        assert torch.allclose(many_gradients, torch.stack(gradients), rtol=1e-5, atol=1e-6)


def test_inductor_agrees_at_one_point_and_at_several():
    density = log_density(eight_schools, Y, SIGMA)
    checks = torch.distributions.Distribution._validate_args
    compiled, native = density.compiled("inductor"), density.compiled("native")
    assert torch.distributions.Distribution._validate_args == checks  # torch.compile alone turns them off
    points = torch.stack([point(density.dim), -point(density.dim), 0.3 * point(density.dim)])
    values, gradients = zip(*map(native.value_and_grad, points))
    found, slopes = compiled.value_and_grad(points[0])
    assert found.dtype == slopes.dtype == torch.float64
    many, many_slopes = compiled.batched_value_and_grad(points)
    assert found.item() == pytest.approx(values[0].item(), rel=1e-10)
    assert torch.allclose(slopes, gradients[0], rtol=1e-10, atol=1e-10)
    assert torch.allclose(many, torch.stack(values), rtol=1e-10)
    assert torch.allclose(many_slopes, torch.stack(gradients), rtol=1e-10, atol=1e-10)


def test_inductor_compiles_once_for_data_of_one_shape(monkeypatch):
    density = log_density(eight_schools, Y, SIGMA)
    density.compiled("inductor")
    monkeypatch.setattr(torch, "compile", None)
    other = density.with_data(y=Y + 1.0)
    z = point(density.dim)
    assert other.compiled("inductor")(z).item() == pytest.approx(other.compiled("native")(z).item(), rel=1e-10)
    with pytest.raises(TypeError):  # the same test with another shape does compile
        log_density(eight_schools, Y[:5], SIGMA[:5]).compiled("inductor")


def test_auto_takes_native_and_says_why():
    compiled = log_density(eight_schools, Y, SIGMA).compiled()
    assert compiled.engine == "native"
    assert compiled.native_function() is not None
    assert "native form" in compiled.reason


def test_auto_falls_back_and_says_where():
    density = log_density(branching, torch.tensor(0.3))
    compiled = density.compiled()
    assert compiled.engine == "eager"
    assert compiled.native_function() is None
    assert "test_compiled.py" in compiled.reason
    z = torch.tensor([0.4], dtype=torch.float64)
    assert compiled(z).item() == pytest.approx(density(z).item(), rel=1e-6)
    with pytest.raises(CaptureError, match="depends on the value"):
        density.compiled("native")


def test_a_fault_of_the_engine_leaves_the_model_on_eager(monkeypatch):
    def fails(graph):
        raise KeyError("a value without a place")

    monkeypatch.setattr(compiled_module, "NativeFunction", fails)
    density = log_density(eight_schools, Y, SIGMA)
    with pytest.warns(UserWarning, match="native engine failed: KeyError: 'a value without a place'; please report"):
        compiled = density.compiled()
    z = point(density.dim)
    assert compiled.engine == "eager" and compiled.value_and_grad(z)[0].item() == pytest.approx(density(z).item())
    with pytest.raises(KeyError):
        density.compiled("native")


def test_without_a_compiler_everything_works(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(toolchain, "_ziglang", lambda: None)
    density = log_density(eight_schools, Y, SIGMA)
    compiled = density.compiled()
    assert compiled.engine == "eager"
    assert "pyroxene[fast]" in compiled.reason
    with pytest.raises(CompilerError):
        density.compiled("native")


@pytest.mark.skipif(
    importlib.util.find_spec("ziglang") is None, reason="ziglang, of the extra `fast`, is not installed"
)
def test_without_a_compiler_on_the_path_ziglang_serves(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    compiled = log_density(eight_schools, Y, SIGMA).compiled("native")
    assert "ziglang" in toolchain.find_toolchain().version
    z = point(compiled.dim)
    assert compiled(z).item() == pytest.approx(log_density(eight_schools, Y, SIGMA)(z).item(), rel=1e-6)


def test_no_such_engine():
    with pytest.raises(UsageError, match="no such engine"):
        log_density(eight_schools, Y, SIGMA).compiled("jax")


def test_other_data_of_the_same_shape_build_nothing(monkeypatch):
    compiled = log_density(eight_schools, Y, SIGMA).compiled("native")

    def build(*_):
        raise AssertionError("a build")

    monkeypatch.setattr(toolchain.Toolchain, "compile", build)
    other = compiled.with_data(y=Y * 2 + 1)
    z = point(compiled.dim)
    assert other(z).item() == pytest.approx(log_density(eight_schools, Y * 2 + 1, SIGMA)(z).item(), rel=1e-6)
    assert compiled(z).item() != other(z).item()


def censored(y, is_seen):
    scale = pyroxene.sample("scale", dist.HalfNormal(2.0))
    with pyroxene.plate("all", len(y)):
        x = pyroxene.sample("x", dist.Normal(0.0, scale))
    full = y.clone()
    full[~is_seen] = x[~is_seen]
    pyroxene.factor("seen", dist.Normal(x[is_seen], 0.5).log_prob(y[is_seen]).sum())
    pyroxene.factor("steps", dist.Normal(full[:-1], 1.0).log_prob(full[1:]).sum())


@pytest.mark.parametrize("count", [5, 3, 0, 8])
def test_other_masks_choose_other_elements(count, monkeypatch):
    first = torch.tensor([True, False, True, True, False, True, True, False])
    compiled = log_density(censored, Y, first).compiled("native")
    if count == 5:  # as many as before: the same program, of other places

        def build(*_):
            raise AssertionError("a build")

        monkeypatch.setattr(toolchain.Toolchain, "compile", build)
    other = (torch.arange(8) < count).flip(0)
    z = point(compiled.dim)
    for new in ({"is_seen": other}, {"is_seen": other, "y": Y * 2.0}):
        again = compiled.with_data(**new)
        assert again.engine == "native"
        value, gradient = again.value_and_grad(z)
        expected, slope = compiled.density.with_data(**new).compiled("eager").value_and_grad(z)
        assert value.item() == pytest.approx(expected.item(), rel=1e-10)
        assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-10)
    value, gradient = compiled.value_and_grad(z)
    expected, slope = log_density(censored, Y, first).compiled("eager").value_and_grad(z)
    assert value.item() == pytest.approx(expected.item(), rel=1e-10)
    assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-10)


def test_a_compiled_density_pickles_without_its_model():
    def closure(y):
        eight_schools(y, SIGMA)

    compiled = log_density(closure, Y).compiled("native")
    again = pickle.loads(pickle.dumps(compiled))
    z = point(compiled.dim)
    assert torch.equal(again.value_and_grad(z)[1], compiled.value_and_grad(z)[1])
    assert again.constrain(z)["tau"].item() == pytest.approx(z[1].exp().item())
    with pytest.raises(UsageError, match="without its model"):
        again.with_data(y=Y)
    whole = pickle.loads(pickle.dumps(log_density(eight_schools, Y, SIGMA).compiled("native")))
    assert whole.with_data(y=Y + 1).dim == compiled.dim


def test_another_process_computes_the_same(tmp_path):
    def loop(y):
        scale = pyroxene.sample("scale", dist.HalfNormal(1.0))

        def step(before, now):
            pyroxene.sample("y", dist.Normal(before, scale), obs=now)
            return now, None

        pyroxene.scan(step, torch.tensor(0.0), y)

    compiled = log_density(loop, torch.randn(50)).compiled("native")
    (tmp_path / "density.pickle").write_bytes(pickle.dumps(compiled))
    program = (
        "import pickle, sys, torch\n"
        "compiled = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(repr(compiled(torch.tensor([0.3], dtype=torch.float64)).item()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "density.pickle")], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == compiled(torch.tensor([0.3], dtype=torch.float64)).item()


def test_a_dead_density_lets_its_library_go():
    compiled = log_density(eight_schools, Y, SIGMA).compiled("native")
    native = weakref.ref(compiled.native_function())
    other = log_density(eight_schools, Y, SIGMA).compiled("native")
    z = point(compiled.dim)
    expected = compiled(z)
    del compiled
    gc.collect()
    assert native() is None
    assert other(z) == expected  # the same library, still open for the other


def test_values_of_data_are_not_in_the_source():
    native = log_density(eight_schools, Y, SIGMA).compiled("native").native_function()
    assert "28.0" not in native.program.source


def test_double_precision_inside_whatever_the_default():
    def model():
        x = pyroxene.sample("x", dist.Normal(0.1, 0.3))
        pyroxene.factor("f", torch.tensor(0.1) * x)

    compiled = log_density(model).compiled("native")
    z = torch.tensor([0.25], dtype=torch.float64)
    exact = dist.Normal(torch.tensor(0.1, dtype=torch.float64), 0.3).log_prob(z) + 0.1 * z
    assert compiled(z).item() == pytest.approx(exact.item(), rel=1e-14)


def test_distributions_that_check_by_themselves_are_not_asked():
    fixed = dist.StudentT(torch.tensor(5.0), 0.0, 1.0, validate_args=True).expand([3]).to_event(1)
    compiled = log_density(lambda: pyroxene.sample("x", fixed)).compiled("native")
    assert compiled.engine == "native"
    assert fixed.base_dist._validate_args


def test_an_impossible_point_is_minus_infinity():
    def model():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        pyroxene.factor("f", torch.where(x > 0, torch.tensor(-float("inf")), x))

    compiled = log_density(model).compiled("native")
    assert compiled(torch.tensor([1.0], dtype=torch.float64)) == -float("inf")
    assert torch.isfinite(compiled(torch.tensor([-1.0], dtype=torch.float64)))


def test_explain(capsys):
    found = explain(eight_schools, Y, SIGMA)
    text = capsys.readouterr().out
    assert found.engine == "native" and found.dim == 10 and found.gradient_seconds > 0
    assert list(found.sites) == ["mu", "tau", "raw"] and found.observed == ("y",)
    for part in (
        r"raw +\(8,\)",
        "dimension: 10",
        r"engine: native \(",
        r"\d+ mul",
        "prepared in",
        "one value and gradient",
    ):
        assert re.search(part, text), part
    explain(branching, torch.tensor(0.3))
    assert "engine: eager (a branch" in capsys.readouterr().out
