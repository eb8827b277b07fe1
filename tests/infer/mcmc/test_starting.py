"""Where chains begin, and bad input: each mistake is a clear error, or a clear warning with what was seen."""

from __future__ import annotations

import math
import warnings

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import init_to_feasible, init_to_sample, init_to_value
from pyroxene.errors import PlateError, PyroxeneError, SiteError, SupportError, UnsupportedError
from pyroxene.infer import NUTS
from pyroxene.infer.mcmc.descent import STEEP, come_down
from pyroxene.infer.mcmc.starting import given_starts, starting_points
from pyroxene.infer.mcmc.target import model_target
from tests.infer.mcmc.programs import conjugate, mixed, silent


def run(model, *args, **options):
    mcmc = silent(NUTS(model, engine="eager", **options))
    mcmc.run(*args)
    return mcmc


def test_starts_are_finite_and_differ():
    target = model_target(mixed, (), {}, engine="eager")
    for strategy in (pyroxene.infer.autoguide.init_to_uniform, init_to_sample, init_to_feasible):
        starts = starting_points(target, 3, strategy)
        assert starts.shape == (3, target.dim) and starts.dtype == torch.float64
        assert all(target.density.value_and_grad(start)[0].isfinite() for start in starts)
        assert torch.equal(starts[0], starts[1]) == (strategy is init_to_feasible)


def test_given_starts_are_checked():
    target = model_target(conjugate, (torch.ones(3),), {}, engine="eager")
    assert given_starts(target, {"mu": torch.tensor([1.0, 2.0])}, 2).tolist() == [[1.0], [2.0]]
    with pytest.raises(PyroxeneError, match="'mu' is -inf|'mu' is nan"):
        given_starts(target, {"mu": torch.tensor(math.inf)}, 1)


def test_the_first_site_that_is_infinite_is_named():
    def model():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        pyroxene.sample("fine", dist.Normal(x, 1.0), obs=torch.tensor(0.0))
        with pyroxene.plate("rows", 3):
            pyroxene.sample("y", dist.Uniform(x - 9, x - 8, validate_args=False), obs=torch.tensor([0.0, 5.0, 50.0]))
        pyroxene.factor("later", x * math.nan)

    with pyroxene.validation_enabled(False), pytest.raises(SiteError) as caught:
        run(model)
    text = str(caught.value)
    assert isinstance(caught.value, ValueError) and "cannot find valid initial params" in text
    assert caught.value.site == "y" and "-inf at index (0,)" in text
    assert "test_starting.py" in text and "init_to_feasible" in text


def test_a_factor_that_is_nan_is_named():
    def model():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        pyroxene.factor("penalty", x.abs().neg().sqrt())

    with pyroxene.validation_enabled(False), pytest.raises(SiteError, match="site 'penalty' is nan"):
        run(model)
    with pytest.raises(SiteError, match="log_factor: nan"):  # the checks of distributions find it before
        run(model)


def test_parameters_that_are_legal_in_a_part_of_the_space():
    def model():
        scale = pyroxene.sample("scale", dist.Normal(1.0, 1.0))
        pyroxene.sample("y", dist.Normal(0.0, scale), obs=torch.tensor(1.0))

    for _ in range(5):
        assert bool((run(model).get_samples()["scale"] > 0).all())


def test_a_gradient_that_is_not_finite_is_named():
    def model():
        x = pyroxene.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyroxene.factor("penalty", -(x * 0).sqrt().sum())

    with pytest.raises(SiteError, match="gradient with respect to site 'x'"):
        run(model)


def test_a_strategy_that_fails_gives_way_to_others():
    def model():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        pyroxene.factor("narrow", torch.where(x.abs() < 1.0, 0.0, -math.inf))

    with pytest.warns(UserWarning, match=r"init_to_value found no point .* init_to_uniform\(radius=0.5\)"):
        mcmc = run(model, init_strategy=init_to_value(values={"x": torch.tensor(5.0)}))
    assert bool((mcmc.get_samples()["x"].abs() < 1).all())


def test_a_plate_that_subsamples():
    def model():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        with pyroxene.plate("data", 10, subsample_size=3) as index:
            pyroxene.sample("y", dist.Normal(x, 1.0), obs=torch.zeros(10)[index])

    with pytest.raises(NotImplementedError, match="plate 'data' subsamples") as caught:  # Pyro's class
        run(model)
    assert isinstance(caught.value, UnsupportedError) and caught.value.plate == "data"
    assert isinstance(caught.value.__cause__, PlateError)


def test_a_discrete_site():
    with pytest.raises(SupportError, match="discrete.* 'z'"):
        run(lambda: pyroxene.sample("z", dist.Bernoulli(0.5)))


def test_observations_out_of_support():
    def model():
        rate = pyroxene.sample("rate", dist.Gamma(1.0, 1.0))
        pyroxene.sample("count", dist.Poisson(rate), obs=torch.tensor(-1.0))

    with pytest.raises(PyroxeneError, match="count"):
        run(model)


def test_a_model_without_latent_coordinates():
    def nothing():
        pyroxene.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(1.0))

    with pytest.warns(UserWarning, match="nothing to sample"):
        mcmc = run(nothing)
    assert mcmc.get_samples() == {}

    def empty():
        pyroxene.sample("x", dist.Normal(torch.zeros(0), 1.0).to_event(1))

    with pytest.warns(UserWarning, match="nothing to sample"):
        mcmc = run(empty)
    assert mcmc.get_samples()["x"].shape == (20, 0)
    mcmc.summary()


def test_a_structure_that_changes_between_runs():
    calls = []

    def model():
        calls.append(0)
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        if len(calls) > 10:
            pyroxene.sample("late", dist.Normal(x, 1.0))

    with pytest.raises(SiteError, match="'late' was not there"):
        run(model)

    def vanishing():
        calls.append(0)
        pyroxene.sample("x", dist.Normal(0.0, 1.0))
        if len(calls) < 10:
            pyroxene.sample("early", dist.Normal(0.0, 1.0))

    calls.clear()
    with pytest.raises(SiteError, match="missing"):
        run(vanishing)


@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("slope", [1.0, 3.0])  # at 3, the points where engines are compared may be impossible
def test_a_factorisation_that_fails_is_a_divergence_not_a_crash(engine, slope):
    def model():
        r = slope * pyroxene.sample("r", dist.Normal(0.0, 1.0))
        matrix = torch.stack([torch.stack([r * 0 + 1, r]), torch.stack([r, r * 0 + 1])])  # definite for |r| < 1 only
        pyroxene.factor("det", torch.linalg.cholesky(matrix).diagonal().log().sum())

    mcmc = silent(NUTS(model, engine=engine), 100, 50)
    mcmc.run()
    assert bool((slope * mcmc.get_samples()["r"].abs() < 1).all())


def test_chains_that_only_diverge_are_told():
    def cliff():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        pyroxene.factor("cliff", torch.where(x.abs() < 1e-3, 0.0, -1e9 * x.abs()))

    kernel = NUTS(cliff, engine="eager", step_size=5.0, adapt_step_size=False, adapt_mass_matrix=False,
                  init_strategy=init_to_value(values={"x": torch.tensor(0.0)}))  # fmt: skip
    with pytest.warns(UserWarning, match="every draw diverged in chain 0"):
        silent(kernel, 20, 5).run()


def test_a_step_size_that_collapses_is_told():
    def rough():
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        gradient_lies = x.detach() * 1e12 * x.detach().sign() - 1e12 * x.detach().abs() + (1e15 * x - 1e15 * x.detach())
        pyroxene.factor("rough", gradient_lies)

    with pytest.warns(UserWarning, match="step size collapsed"):
        silent(NUTS(rough, engine="eager", max_tree_depth=3), 10, 60).run()


@pytest.mark.parametrize("num_chains", [1, 2])
def test_an_improper_posterior_is_told(num_chains):
    def flat():
        level = pyroxene.sample("level", dist.Normal(0.0, 1.0))
        pyroxene.factor("no prior", 0.5 * level**2)
        pyroxene.sample("fine", dist.Normal(0.0, 1.0))

    pyroxene.set_rng_seed(0)
    mcmc = silent(NUTS(flat, engine="eager", max_tree_depth=5), 40, 40, num_chains=num_chains)
    with pytest.warns(UserWarning, match="at site 'level', as with an improper posterior"):
        mcmc.run()
    assert mcmc.get_samples()["level"].shape == (40 * num_chains,)


def test_a_wide_scale_is_not_taken_for_improper():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # in units of 1e7, far from where chains begin
        mcmc = silent(NUTS(lambda: pyroxene.sample("x", dist.Normal(2e7, 1e6)), engine="eager"), 200, 300, num_chains=2)
        mcmc.run()
    assert mcmc.get_samples()["x"].mean().item() == pytest.approx(2e7, rel=0.1)


class Explosion:
    """A quadratic to the eighth power, shifted: -1e96 at twelve decimal orders from its top."""

    dim = 2

    def __init__(self):
        self.calls = 0

    def value_and_grad(self, z):
        self.calls += 1
        leaf = z.detach().requires_grad_()
        value = -(((leaf * torch.tensor([1.0, 1e3], dtype=torch.float64)) ** 2).sum() ** 8)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.detach(), gradient


def test_starts_on_absurd_slopes_come_down():
    density = Explosion()
    starts = torch.tensor([[1.9, 1.5], [1e-3, 1e-4]], dtype=torch.float64)
    before = [density.value_and_grad(start)[1].abs().max() for start in starts]
    down = come_down(density, starts)
    after = [density.value_and_grad(start)[1].abs().max() for start in down]
    assert before[0] > 1e50 and after[0] <= STEEP and density.calls < 150
    assert torch.equal(down[1], starts[1])


def test_mcmc_does_not_begin_on_an_explosion():
    """An autoregression of which one start in three explodes: -1e100 at a coefficient of 2."""
    y = torch.randn(150, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def model(y):
        theta = pyroxene.sample("theta", dist.Normal(0.0, 2.0))
        error, errors = y[0], []
        for t in range(1, len(y)):
            error = y[t] - theta * error
            errors.append(error)
        with pyroxene.plate("time", len(y) - 1):
            pyroxene.sample("error", dist.Normal(0.0, 1.0), obs=torch.stack(errors))

    pyroxene.set_rng_seed(0)
    mcmc = silent(NUTS(model, init_strategy=init_to_value(values={"theta": torch.tensor(2.0)})), 50, 100)
    mcmc.run(y)
    assert mcmc.get_samples()["theta"].abs().max() < 0.5
