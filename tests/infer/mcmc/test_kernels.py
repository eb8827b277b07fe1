"""Kernels: their options, one draw at a time, their mass matrices, and kernels of one's own."""

from __future__ import annotations

import math
import pickle

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import init_to_median, init_to_value
from pyroxene.errors import UsageError
from pyroxene.infer import HMC, NUTS, MCMCKernel, RandomWalkKernel
from pyroxene.infer.mcmc import ArrowheadMassMatrix, BlockMassMatrix
from pyroxene.infer.mcmc.adaptation import WarmupAdapter, adapt_window
from tests.infer.mcmc.programs import EFFECTS, conjugate, eight_schools, mixed, potential, silent


class Walk(MCMCKernel):
    """Counts its calls."""

    def __init__(self):
        self.calls = []
        self.transforms = {"x": torch.distributions.ExpTransform().inv}
        self.start = {"x": torch.tensor(0.0)}

    def setup(self, warmup_steps, *args, **kwargs):
        self.calls.append(("setup", warmup_steps, args, kwargs))

    def end_warmup(self):
        self.calls.append("end_warmup")

    def cleanup(self):
        self.calls.append("cleanup")

    @property
    def initial_params(self):
        return self.start

    @initial_params.setter
    def initial_params(self, params):
        self.start = params

    def logging(self):
        return {"calls": len(self.calls)}

    def diagnostics(self):
        return {"divergences": []}

    def sample(self, params):
        self.calls.append("sample")
        return {"x": params["x"] + 1}


def test_a_kernel_of_ones_own_runs_in_order():
    kernel = Walk()
    mcmc = silent(kernel, 3, 2, num_chains=2, initial_params={"x": torch.tensor([0.0, 10.0])})
    mcmc.run("data", option=1)
    one = [("setup", 2, ("data",), {"option": 1}), "sample", "sample", "end_warmup", *["sample"] * 3, "cleanup"]
    assert kernel.calls == 2 * one
    drawn = mcmc.get_samples(group_by_chain=True)["x"].log()  # the transform leads back to its support
    torch.testing.assert_close(drawn, torch.tensor([[3.0, 4.0, 5.0], [13.0, 14.0, 15.0]]))
    assert mcmc.diagnostics()["divergences"] == {"chain 0": [], "chain 1": []}
    assert mcmc.get_extra_fields() == {}
    mcmc.summary()


def test_the_abstract_kernel():
    with pytest.raises(TypeError):
        MCMCKernel()

    class Least(MCMCKernel):
        def sample(self, params):
            return params

    kernel = Least()
    assert kernel({"x": 1}) == {"x": 1} and kernel.logging() == {} and kernel.diagnostics() == {}
    assert kernel.setup(1) is kernel.cleanup() is kernel.end_warmup() is None
    with pytest.raises(AttributeError, match="no initial_params"):
        _ = kernel.initial_params


def test_a_subclass_that_changes_the_transition_is_obeyed():
    class Stays(NUTS):
        def sample(self, params):
            super().sample(params)
            return params

    mcmc = silent(Stays(conjugate, engine="eager"), 4, 2)
    mcmc.run(torch.ones(3))
    assert len(mcmc.get_samples()["mu"].unique()) == 1


def test_one_draw_at_a_time():
    pyroxene.set_rng_seed(0)
    kernel = NUTS(conjugate, engine="eager")
    with pytest.raises(UsageError, match="not set up"):
        kernel.sample({"mu": torch.zeros(())})
    assert kernel.potential_fn is None and kernel.inverse_mass_matrix == {} and kernel.step_size == 1
    y = torch.full((9,), 2.0)
    kernel.setup(60, y)
    params, found = kernel.initial_params, []
    assert kernel.potential_fn(params).dim() == 0
    for _ in range(260):
        params = kernel.sample(params)
        found.append(params["mu"])
    # 200 draws of a standard deviation of 0.32, of which over 50 count: 0.3 is over six standard errors
    assert torch.stack(found[60:]).mean().item() == pytest.approx(1.8, abs=0.3)
    assert set(kernel.logging()) == {"step size", "acc. prob"}
    assert kernel.diagnostics()["divergences"] == [] and 0.5 < kernel.diagnostics()["acceptance rate"] <= 1
    kernel.cleanup()


def test_a_draw_begins_where_it_is_told():
    kernel = NUTS(conjugate, engine="eager", step_size=1e-6, adapt_step_size=False, max_tree_depth=1)
    kernel.setup(0, torch.ones(3))
    for start in (5.0, -4.0):
        assert kernel.sample({"mu": torch.tensor(start)})["mu"].item() == pytest.approx(start, abs=1e-3)


def test_options_of_a_kernel():
    with pytest.raises(UsageError, match="Only one of"):
        NUTS()
    with pytest.raises(UsageError, match="Only one of"):
        NUTS(conjugate, potential_fn=potential)
    with pytest.raises(UsageError, match="tuples of site names"):
        NUTS(conjugate, full_mass=["mu"])
    with pytest.raises(UsageError, match="no such engine"):
        silent(NUTS(conjugate, engine="abacus")).run(torch.ones(3))
    with pytest.raises(UsageError, match="no such metric"):
        silent(NUTS(conjugate, engine="eager", metric="round")).run(torch.ones(3))
    with pytest.raises(UsageError, match="sites that the model does not have"):
        silent(NUTS(conjugate, engine="eager", full_mass=[("mu", "nu")])).run(torch.ones(3))
    with pytest.raises(UsageError, match="transforms are given for sites"):
        silent(NUTS(conjugate, engine="eager", transforms={"nu": torch.distributions.ExpTransform()})).run(
            torch.ones(3)
        )


def test_pyros_options_are_taken():
    kernel = NUTS(conjugate, max_plate_nesting=1, jit_compile=True, jit_options={}, ignore_jit_warnings=True)
    assert kernel.engine == "auto"
    slices = NUTS(conjugate, use_multinomial_sampling=False, engine="eager", max_tree_depth=(4, 6))
    mcmc = silent(slices)
    mcmc.run(torch.ones(3))
    assert slices.deepest_tree == 6 and mcmc.get_extra_fields()["tree_depth"].max() <= 6


def test_hmc_trajectories():
    assert HMC(conjugate).trajectory_length == pytest.approx(2 * math.pi)
    kernel = HMC(conjugate, num_steps=3, engine="eager")
    assert kernel.num_steps == 3 and kernel.deepest_tree is None
    mcmc = silent(kernel)
    mcmc.run(torch.ones(3))
    assert mcmc.get_extra_fields()["num_steps"].unique().tolist() == [3]
    kernel = HMC(conjugate, step_size=0.3, trajectory_length=1.0, adapt_step_size=False, engine="eager")
    assert kernel.num_steps == 3
    mcmc = silent(kernel)
    mcmc.run(torch.ones(3))
    assert mcmc.get_extra_fields()["num_steps"].unique().tolist() == [3]
    assert mcmc.get_extra_fields()["step_size"].unique().tolist() == [0.3]


def test_init_strategies_say_where_to_begin():
    frozen = {"step_size": 1e-7, "adapt_step_size": False, "adapt_mass_matrix": False, "max_tree_depth": 1}
    for strategy, expected in ((init_to_value(values={"mu": torch.tensor(2.5)}), 2.5), (init_to_median, None)):
        mcmc = silent(NUTS(conjugate, engine="eager", init_strategy=strategy, **frozen), 1, 0)
        mcmc.run(torch.ones(3))
        found = mcmc.get_samples()["mu"].item()
        assert found == pytest.approx(expected, abs=1e-3) if expected else abs(found) < 2


@pytest.mark.parametrize(
    ("full_mass", "shapes"),
    [
        (False, {("a", "b", "w"): (12,)}),
        (True, {("a", "b", "w"): (12, 12)}),
        ([("b",)], {("b",): (6, 6), ("a", "w"): (6,)}),
        ([("w", "a"), ("b",)], {("w", "a"): (6, 6), ("b",): (6, 6)}),
    ],
)
def test_mass_matrices_by_site(full_mass, shapes):
    kernel = NUTS(mixed, full_mass=full_mass, engine="eager", max_tree_depth=4)
    mcmc = silent(kernel, 5, 40)
    mcmc.run()
    found = kernel.inverse_mass_matrix
    assert {names: tuple(matrix.shape) for names, matrix in found.items()} == shapes
    for matrix in found.values():
        assert bool((torch.linalg.eigvalsh(matrix) if matrix.dim() == 2 else matrix).gt(0).all())
    assert kernel.mass_matrix_adapter.mass_matrix_size == {names: shape[0] for names, shape in shapes.items()}
    assert kernel.mass_matrix_adapter.inverse_mass_matrix.keys() == found.keys()


def test_a_dense_block_learns_a_correlation():
    # 400 draws of warm-up; the estimate of 0.9 has a standard error below 0.03
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]])

    def model():
        pyroxene.sample("x", dist.MultivariateNormal(torch.zeros(2), covariance))
        pyroxene.sample("y", dist.Normal(0.0, 10.0))

    kernel = NUTS(model, full_mass=[("x",)], engine="eager")
    silent(kernel, 1, 400).run()
    matrix = kernel.inverse_mass_matrix[("x",)]
    assert (matrix[0, 1] / (matrix[0, 0] * matrix[1, 1]).sqrt()).item() == pytest.approx(0.9, abs=0.2)
    assert kernel.inverse_mass_matrix[("y",)].item() > 20


def test_an_arrowhead():
    kernel = NUTS(eight_schools, full_mass=[("tau", "mu")], engine="eager", max_tree_depth=5)
    kernel.mass_matrix_adapter = ArrowheadMassMatrix()
    mcmc = silent(kernel, 20, 60)
    mcmc.run(EFFECTS)
    ((names, matrix),) = kernel.inverse_mass_matrix.items()
    assert names == ("tau", "mu", "theta") and matrix.shape == (10, 10)
    precision = torch.linalg.inv(matrix.double())[2:, 2:]
    torch.testing.assert_close(precision, precision.diagonal().diag(), rtol=0, atol=1e-3 * precision.max().item())
    assert mcmc.get_samples()["theta"].shape == (20, 8) and bool((mcmc.get_samples()["tau"] > 0).all())


def test_user_transforms_take_the_place_of_ours():
    from torch.distributions.transforms import SoftplusTransform

    kernel = NUTS(eight_schools, transforms={"tau": SoftplusTransform().inv}, engine="eager")
    kernel.setup(1, EFFECTS)
    assert kernel.transforms["tau"](torch.tensor(1.0)).item() == pytest.approx(math.log(math.e - 1))
    z = {"mu": torch.tensor(0.3), "tau": torch.tensor(0.7), "theta": torch.zeros(8)}
    tau = torch.nn.functional.softplus(z["tau"])
    expected = (
        dist.Normal(0.0, 5.0).log_prob(z["mu"])
        + dist.HalfCauchy(5.0).log_prob(tau)
        + torch.nn.functional.logsigmoid(z["tau"])
        + dist.Normal(0.0, 1.0).log_prob(z["theta"]).sum()
        + dist.Normal(z["mu"], torch.tensor([15.0, 10, 16, 11, 9, 11, 10, 18])).log_prob(EFFECTS).sum()
    )
    torch.testing.assert_close(kernel.potential_fn(z), -expected)


def test_kernels_pickle():
    kernel = NUTS(conjugate, engine="eager")
    silent(kernel).run(torch.ones(3))
    copy = pickle.loads(pickle.dumps(kernel))
    assert copy.model is conjugate and copy.step_size == kernel.step_size


def test_the_random_walk():
    # 2000 draws, of which over 150 count: 0.15 is over six standard errors of 0.32 / sqrt(150)
    pyroxene.set_rng_seed(0)
    kernel = RandomWalkKernel(conjugate)
    mcmc = silent(kernel, 2000, 500)
    mcmc.run(torch.full((9,), 2.0))
    draws = mcmc.get_samples()["mu"]
    assert draws.mean().item() == pytest.approx(1.8, abs=0.16)
    assert draws.std().item() == pytest.approx(10**-0.5, abs=0.15)
    assert mcmc.diagnostics()["acceptance rate"]["chain 0"] == pytest.approx(0.234, abs=0.1)
    assert list(kernel.logging()) == ["step size", "acc. prob"]
    assert kernel.initial_params.keys() == {"mu"}
    assert pickle.loads(pickle.dumps(kernel)).model is conjugate


def test_the_random_walk_keeps_to_supports():
    mcmc = silent(RandomWalkKernel(mixed, init_step_size=0.5, target_accept_prob=0.3), 30, 10, num_chains=2)
    mcmc.run()
    draws = mcmc.get_samples(group_by_chain=True)
    assert draws["w"].shape == (2, 30, 3)
    torch.testing.assert_close(draws["w"].sum(-1), torch.ones(2, 30))


SHAPES = {("a",): (2,), ("b", "c"): (2, 2)}


def draw_of(generator):
    return {"a": torch.randn(2, generator=generator), **{n: torch.randn((), generator=generator) for n in "bc"}}


@pytest.mark.parametrize("kind", [BlockMassMatrix, ArrowheadMassMatrix])
def test_mass_matrices_one_draw_at_a_time(kind):
    generator = torch.Generator().manual_seed(0)
    matrix = kind(init_scale=2.0)
    matrix.configure(SHAPES, adapt_mass_matrix=True)
    for inverse in matrix.inverse_mass_matrix.values():
        torch.testing.assert_close(inverse if inverse.dim() == 2 else inverse.diag(), 2 * torch.eye(len(inverse)))
    draws = [draw_of(generator) for _ in range(50)]
    for draw in draws:
        matrix.update(draw, draw)
    matrix.end_adaptation()
    prototype = draws[0]
    normal = {n: torch.randn(size, generator=generator) for n, size in matrix.mass_matrix_size.items()}
    momenta = matrix.scale(normal, prototype)
    assert {name: value.shape for name, value in momenta.items()} == {n: v.shape for n, v in prototype.items()}
    for names, value in matrix.unscale(momenta).items():
        torch.testing.assert_close(value, normal[names])
    velocity = matrix.kinetic_grad(momenta)
    for names, inverse in matrix.inverse_mass_matrix.items():
        whole = inverse if inverse.dim() == 2 else inverse.diag()
        flat = torch.cat([momenta[name].reshape(-1) for name in names])
        torch.testing.assert_close(torch.cat([velocity[name].reshape(-1) for name in names]), whole @ flat)
        # half the velocity times the momentum is half the square of what the momentum was made of
        torch.testing.assert_close(flat @ whole @ flat, normal[names] @ normal[names])


def test_blocks_are_regularised_covariances():
    generator = torch.Generator().manual_seed(0)
    matrix = BlockMassMatrix()
    matrix.configure(SHAPES)
    draws = [draw_of(generator) for _ in range(20)]
    for draw in draws:
        matrix.update(draw, None)
    matrix.end_adaptation()
    pairs = torch.stack([torch.stack([draw["b"], draw["c"]]) for draw in draws])
    expected = torch.cov(pairs.T) * 20 / 25 + 1e-3 * 5 / 25 * torch.eye(2)
    torch.testing.assert_close(matrix.inverse_mass_matrix[("b", "c")], expected)


def test_the_schedule_of_warm_up_is_stans():
    adapter = WarmupAdapter(adapt_step_size=True, adapt_mass_matrix=True)
    adapter.configure(1000, mass_matrix_shape={("x",): (1,)})
    starts = [0, 75, 100, 150, 250, 450, 950]
    assert adapter.adaptation_schedule == [adapt_window(s, e - 1) for s, e in zip(starts, [*starts[1:], 1000])]
    adapter = WarmupAdapter()
    adapter.configure(1000, mass_matrix_shape={("x",): (1,)})
    assert adapter.adaptation_schedule == []


def test_the_adapter_finds_scale_and_step_size():
    # draws of standard deviation 3; an acceptance that falls with the step size as exp(-step) is 0.8 at 0.223
    generator = torch.Generator().manual_seed(0)
    adapter = WarmupAdapter(step_size=1.0, adapt_step_size=True, adapt_mass_matrix=True)
    adapter.configure(1000, 1.0, {("x",): (1,)}, find_reasonable_step_size_fn=lambda z: 0.3)
    for t in range(1000):
        z = {"x": 3 * torch.randn(1, generator=generator)}
        adapter.step(t, z, math.exp(-adapter.step_size))
    assert adapter.mass_matrix_adapter.inverse_mass_matrix[("x",)].item() == pytest.approx(9, rel=0.4)
    assert adapter.step_size == pytest.approx(0.223, rel=0.2)
