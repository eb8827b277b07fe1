"""Programs that differ in sizes or in constants of data share one library, and are right at each size."""

from __future__ import annotations

import shutil

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.compiler.engines.native import sizes
from pyroxene.compiler.engines.native.emit import Program
from pyroxene.compiler.engines.native.sizes import shared_form
from pyroxene.compiler.engines.native.toolchain import Toolchain
from pyroxene.density import log_density

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler on the path"
)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """No forms known, an empty cache, double precision."""
    monkeypatch.setattr(sizes, "_forms", {})
    monkeypatch.setenv("PYROXENE_CACHE", str(tmp_path))
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def builds(monkeypatch):
    """The sources that were built."""
    built: list[str] = []
    compile_one = Toolchain.compile

    def counted(self, source, target, flags):
        built.append(source)
        compile_one(self, source, target, flags)

    monkeypatch.setattr(Toolchain, "compile", counted)
    return built


def schools(y, sigma):
    mean = pyroxene.sample("mean", dist.Normal(0.0, 5.0))
    spread = pyroxene.sample("spread", dist.HalfCauchy(5.0))
    with pyroxene.plate("schools", len(y)):
        effect = pyroxene.sample("effect", dist.Normal(0.0, 1.0))
        pyroxene.sample("y", dist.Normal(mean + spread * effect, sigma), obs=y)


def groups(y, x, group):
    noise = pyroxene.sample("noise", dist.HalfNormal(1.0))
    with pyroxene.plate("groups", int(group.max()) + 1):
        level = pyroxene.sample("level", dist.Normal(0.0, 1.0))
    with pyroxene.plate("rows", len(y)):
        pyroxene.sample("y", dist.Normal(level[group] + 0.3 * x, noise), obs=y)


def logistic(y, x):
    slopes = pyroxene.sample("slopes", dist.Normal(torch.zeros(x.shape[1]), 1.0).to_event(1))
    with pyroxene.plate("rows", len(y)):
        pyroxene.sample("y", dist.Bernoulli(logits=x @ slopes), obs=y)


def counts(y, _):
    rate = pyroxene.sample("rate", dist.Gamma(2.0, 1.0))
    with pyroxene.plate("rows", len(y)):
        pyroxene.sample("y", dist.Poisson(rate), obs=y)


def walk(y, _):
    slope = pyroxene.sample("slope", dist.Normal(0.0, 1.0))

    def step(before, now):
        level = slope * before + 0.1 * now
        pyroxene.sample("y", dist.Normal(level, 1.0), obs=now)
        return level, level

    pyroxene.scan(step, torch.tensor(0.5), y)


def data_of(model, size):
    if model is groups:
        return torch.randn(size), torch.randn(size), torch.arange(size) % (size // 9)
    if model is logistic:
        return (torch.rand(size) > 0.5).double(), torch.randn(size, 7)
    return torch.poisson(torch.full((size,), 3.0)), torch.rand(size) + 0.5


@needs_compiler
@pytest.mark.parametrize("model", [schools, groups, logistic, counts, walk])
def test_further_sizes_are_not_built(model, builds):
    first = log_density(model, *data_of(model, 203)).compiled("native")
    names = list(first.data)
    counted = []
    for size in (407, 150, 333, 1031):
        density = first.with_data(**dict(zip(names, data_of(model, size))))
        counted.append(len(builds))
        for _ in range(3):
            z = torch.randn(density.dim) * 0.5
            value, gradient = density.density.value_and_grad(z)
            found, slope = density.value_and_grad(z)
            assert found.item() == pytest.approx(value.item(), rel=1e-11)
            assert torch.allclose(slope, gradient, rtol=1e-11, atol=1e-11)
    assert counted[0] <= (
        4 if model is walk else 2
    )  # as it stands, then for all sizes; a scan is checked on its first steps
    assert counted[-1] == counted[0]


@needs_compiler
def test_other_data_of_the_same_size_are_not_built(builds):
    first = log_density(counts, *data_of(counts, 50)).compiled("native")
    again = [first.with_data(y=torch.poisson(torch.full((50,), 5.0))) for _ in range(3)]
    assert len(builds) <= 2
    assert len({density(torch.zeros(1)).item() for density in again}) == 3


HEAD = "static void density(const double *restrict x0, const void *const *restrict context, double *restrict w) {"


def program(*lines):
    return Program("\n".join([HEAD, *lines, "}"]), 0, ())


def test_numbers_become_variables_where_they_differ():
    def make(size, total):
        return program(
            f"    double c[{8}];", f"    for (long i = 0; i < {size}; i++) w[i + 8] += {total!r} * x0[i + {size}];"
        )

    assert shared_form(make(3, 0.5), 0) == make(3, 0.5)
    shared = shared_form(make(4, 1.5), 0)
    assert shared.sizes == (4, 4) and shared.constants == (1.5,)
    assert "i < size_0; i++) w[i + 8] += number_0 * x0[i + size_1];" in shared.source
    assert "const long size_1 = ((const long long *)context[1])[1];" in shared.source
    assert shared_form(make(9, 2.5), 0).source == shared.source
    assert shared_form(make(3, 0.5), 0) == make(3, 0.5)


@pytest.mark.parametrize("line", ["double c[{}];", "#pragma omp simd simdlen({})", "const double *d0 = context[{}];"])
def test_numbers_that_the_compiler_must_know_stay(line):
    assert shared_form(program(line.format(8)), 2).sizes == shared_form(program(line.format(4)), 2).sizes == ()
