"""MCMC: shapes and types of draws, statistics, continuing, saving, hooks, interrupts."""

from __future__ import annotations

import io
import pickle

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.diagnostics import Summary
from pyroxene.errors import UnsupportedError, UsageError
from pyroxene.infer import HMC, MCMC, NUTS, RandomWalkKernel
from tests.infer.mcmc.programs import EFFECTS, conjugate, eight_schools, mixed, potential, silent

SHAPES = {"mu": (), "tau": (), "theta": (8,)}
LEAPFROG_FIELDS = {"accept_prob", "step_size", "tree_depth", "num_steps", "energy", "diverging"}


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture(scope="module")
def schools():
    pyroxene.set_rng_seed(1)
    mcmc = MCMC(NUTS(eight_schools, engine="eager"), 50, 30, num_chains=3, disable_progbar=True)
    mcmc.run(EFFECTS)
    return mcmc


def test_draws_by_site(schools):
    assert {name: value.shape for name, value in schools.get_samples().items()} == {
        name: (150, *shape) for name, shape in SHAPES.items()
    }
    grouped = schools.get_samples(group_by_chain=True)
    assert {name: value.shape for name, value in grouped.items()} == {n: (3, 50, *s) for n, s in SHAPES.items()}
    assert equal({name: value.flatten(0, 1) for name, value in grouped.items()}, schools.get_samples())
    assert schools.get_samples(7)["theta"].shape == (7, 8)
    assert schools.get_samples(7, group_by_chain=True)["theta"].shape == (3, 7, 8)
    assert all(value.dtype == torch.float32 for value in grouped.values())
    assert bool((grouped["tau"] > 0).all())
    assert len(grouped["mu"].unique()) > 100, "chains differ"


def test_fields_of_each_draw(schools):
    fields = schools.get_extra_fields(group_by_chain=True)
    assert set(fields) == LEAPFROG_FIELDS | {"num_steps_total"}
    assert all(fields[name].shape == (3, 50) for name in LEAPFROG_FIELDS)
    assert bool(((fields["accept_prob"] >= 0) & (fields["accept_prob"] <= 1)).all())
    assert bool((fields["num_steps"] >= 1).all()) and bool(
        (fields["num_steps"] < 2 ** (fields["tree_depth"] + 1)).all()
    )
    assert fields["diverging"].dtype == torch.bool
    assert bool((fields["num_steps_total"] > fields["num_steps"].sum(1)).all()), "warm-up counts"
    flat = schools.get_extra_fields()
    assert flat["energy"].shape == (150,) and flat["num_steps_total"] == fields["num_steps_total"].sum()


def test_diagnostics_are_pyros(schools):
    found = schools.diagnostics()
    assert list(found) == ["mu", "tau", "theta", "divergences", "acceptance rate"]
    assert list(found["theta"]) == ["n_eff", "r_hat"] and found["theta"]["r_hat"].shape == (8,)
    assert list(found["divergences"]) == list(found["acceptance rate"]) == ["chain 0", "chain 1", "chain 2"]
    assert all(isinstance(numbers, list) for numbers in found["divergences"].values())
    assert all(0.5 < rate <= 1 for rate in found["acceptance rate"].values())
    of_first = schools.kernel.diagnostics()
    assert of_first["divergences"] == found["divergences"]["chain 0"]
    assert of_first["acceptance rate"] == pytest.approx(found["acceptance rate"]["chain 0"])


def test_the_table(schools, capsys):
    table = schools.table(0.8)
    assert isinstance(table, Summary) and len(table.names) == 10
    assert table["mu"]["mean"] == pytest.approx(schools.get_samples()["mu"].double().mean().item())
    assert schools.summary(prob=0.8) is None
    printed = capsys.readouterr().out
    assert str(table) in printed and "Number of divergences: " in printed and "10.0%" in printed


def test_the_posterior_is_right():
    # 2 x 200 draws, of which at least 100 count: the mean's error is 0.32 / sqrt(100) = 0.03, so 0.2 is over
    # six of them, a failure rate below 1e-8; the standard deviation's is smaller
    y = torch.tensor([1.0, 2.0, 0.5, 1.5, 3.0, 2.5, 1.0, 2.0, 1.5])
    for kernel in (NUTS(conjugate, engine="eager"), HMC(conjugate, trajectory_length=1.5, engine="eager")):
        mcmc = silent(kernel, 200, 100, num_chains=2)
        mcmc.run(y)
        draws = mcmc.get_samples()["mu"]
        assert draws.mean().item() == pytest.approx(y.sum().item() / 10, abs=0.2)
        assert draws.std().item() == pytest.approx(10**-0.5, abs=0.15)


def test_every_support_and_shape():
    mcmc = silent(NUTS(mixed, engine="eager"), num_chains=2)
    mcmc.run()
    draws = mcmc.get_samples(group_by_chain=True)
    assert {name: value.shape for name, value in draws.items()} == {
        "w": (2, 20, 3), "b": (2, 20, 2, 3), "a": (2, 20, 4)
    }  # fmt: skip
    torch.testing.assert_close(draws["w"].sum(-1), torch.ones(2, 20))
    assert bool(((draws["a"] > 0) & (draws["a"] < 1)).all())


@pytest.mark.parametrize("chain_method", ["threads", "sequential"])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_draws_repeat_by_seed_whoever_runs_them(chain_method, num_threads):
    found = []
    for method, threads in (("threads", None), (chain_method, num_threads)):
        pyroxene.set_rng_seed(3)
        mcmc = silent(NUTS(conjugate, engine="eager"), num_chains=3, chain_method=method, num_threads=threads)
        mcmc.run(torch.ones(4))
        found.append(mcmc.get_samples(group_by_chain=True))
    assert equal(*found)


def test_a_batch_of_chains_draws_the_same_posterior():
    mcmc = silent(NUTS(conjugate, engine="eager"), 150, 60, num_chains=4, chain_method="vectorized")
    mcmc.run(torch.full((9,), 2.0))
    assert mcmc.get_samples()["mu"].mean().item() == pytest.approx(1.8, abs=0.2)  # its error is about 0.02


def test_save_params_keeps_those_only():
    mcmc = silent(NUTS(eight_schools, engine="eager"), save_params=["tau"])
    mcmc.run()
    assert list(mcmc.get_samples()) == ["tau"]
    with pytest.raises(UsageError, match="save_params"):
        silent(NUTS(eight_schools, engine="eager"), save_params=["nu"]).run()


def test_warmup_and_run_are_run():
    found = []
    for apart in (False, True):
        pyroxene.set_rng_seed(5)
        mcmc = silent(NUTS(conjugate, engine="eager"), num_chains=2)
        y = torch.ones(3)
        if apart:
            mcmc.warmup(y)
            with pytest.raises(UsageError, match="no draws yet"):
                mcmc.get_samples()
        mcmc.run(y)
        found.append(mcmc.get_samples(group_by_chain=True))
    assert equal(*found)


def test_run_more_adds_draws_and_run_begins_anew():
    y = torch.ones(3)
    mcmc = silent(NUTS(conjugate, engine="eager"), num_chains=2)
    with pytest.raises(UsageError, match="no run to go on from"):
        mcmc.run_more()
    mcmc.run(y)
    first, steps = mcmc.get_samples(group_by_chain=True)["mu"], mcmc.get_extra_fields()["num_steps_total"]
    mcmc.run_more(5)
    more = mcmc.get_samples(group_by_chain=True)["mu"]
    assert more.shape == (2, 25) and torch.equal(more[:, :20], first)
    fields = mcmc.get_extra_fields(group_by_chain=True)
    assert fields["energy"].shape == (2, 25)
    assert fields["num_steps_total"].sum() == steps + fields["num_steps"][:, 20:].sum()
    mcmc.run(y)
    assert mcmc.get_samples(group_by_chain=True)["mu"].shape == (2, 20)
    assert not torch.equal(mcmc.get_samples(group_by_chain=True)["mu"], first)


def test_going_on_with_other_data():
    mcmc = silent(NUTS(conjugate, engine="eager"), 150, 60)
    mcmc.warmup(torch.zeros(9))
    mcmc.run(torch.full((9,), 2.0))
    # 150 draws about 1.8, of which over 40 count: 0.35 is over six standard errors of 0.32 / sqrt(40)
    assert mcmc.get_samples()["mu"][5:].mean().item() == pytest.approx(1.8, abs=0.35)
    mcmc.run_more(10, torch.full((9,), -2.0))
    assert mcmc.get_samples()["mu"][-3:].mean().item() < 0

    def bounded(y):
        x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        pyroxene.sample("y", dist.Uniform(x - 5, x + 5, validate_args=False), obs=y)

    mcmc = silent(NUTS(bounded, engine="eager"))
    mcmc.run(torch.tensor(0.0))
    with pytest.raises(ValueError, match="log density of site 'y' is -inf"), pyroxene.validation_enabled(False):
        mcmc.run_more(5, torch.tensor(100.0))


def test_predictions_from_draws(schools):
    predictive = pyroxene.infer.Predictive(eight_schools, schools.get_samples())
    assert predictive(effects=None)["effects"].shape == (150, 8)


@pytest.mark.parametrize("when", ["warmup", "run"])
def test_a_saved_state_goes_on_with_identical_draws(when):
    y = torch.ones(3)
    mcmc = silent(NUTS(conjugate, engine="eager"), num_chains=2)
    getattr(mcmc, when)(y)
    file = io.BytesIO()
    torch.save(mcmc.state_dict(), file)
    file.seek(0)
    other = silent(NUTS(conjugate, engine="eager"), num_chains=2)
    other.load_state_dict(torch.load(file, weights_only=True))
    if when == "run":
        assert equal(other.get_samples(), mcmc.get_samples())
        mcmc.run_more(10)
        other.run_more(10, y)
    else:
        mcmc.run(y)
        other.run(y)
    assert equal(other.get_samples(), mcmc.get_samples())
    assert equal(other.get_extra_fields(), mcmc.get_extra_fields())


def test_a_state_of_another_run_is_refused():
    mcmc = silent(NUTS(conjugate, engine="eager"))
    with pytest.raises(UsageError, match="nothing to save"):
        mcmc.state_dict()
    mcmc.run(torch.ones(3))
    state = mcmc.state_dict()
    with pytest.raises(UsageError, match="does not fit"):
        silent(NUTS(conjugate), num_chains=2).load_state_dict(state)
    other = silent(NUTS(eight_schools, engine="eager"))
    other.load_state_dict(state)
    with pytest.raises(UsageError, match="another model's"):
        other.run()
    with pytest.raises(UnsupportedError, match="for NUTS and HMC"):
        silent(RandomWalkKernel(conjugate)).load_state_dict(state)


def test_a_run_pickles(schools):
    copy = pickle.loads(pickle.dumps(schools))
    assert equal(copy.get_samples(group_by_chain=True), schools.get_samples(group_by_chain=True))
    assert copy.kernel.step_size == schools.kernel.step_size
    copy.run_more(5, EFFECTS)
    assert copy.get_samples(group_by_chain=True)["mu"].shape == (3, 55)


def test_a_run_of_a_closure_pickles_without_it():
    mcmc = silent(NUTS(lambda: pyroxene.sample("x", dist.Normal(0.0, 1.0)), engine="eager"))
    mcmc.run()
    copy = pickle.loads(pickle.dumps(mcmc))
    assert equal(copy.get_samples(), mcmc.get_samples()) and copy.kernel.model is None


@pytest.mark.parametrize("num_chains", [1, 2])
def test_a_hook_sees_each_draw_and_changes_none(num_chains):
    seen = []

    def hook(kernel, params, stage, number):
        assert isinstance(kernel, NUTS) and kernel.step_size > 0
        seen.append((stage, number, params["mu"].item()))

    found = []
    for hook_fn in (None, hook):
        pyroxene.set_rng_seed(5)
        mcmc = silent(NUTS(conjugate, engine="eager"), 6, 4, num_chains=num_chains, hook_fn=hook_fn)
        mcmc.run(torch.ones(3))
        found.append(mcmc.get_samples())
    assert equal(*found)
    names = ["Warmup", "Sample"] if num_chains == 1 else ["Warmup [1]", "Sample [1]", "Warmup [2]", "Sample [2]"]
    counts = {"W": 4, "S": 6}
    assert [(stage, number) for stage, number, _ in seen] == [(n, i) for n in names for i in range(counts[n[0]])]
    drawn = [value for stage, _, value in seen if stage.startswith("Sample")]
    assert drawn == found[0]["mu"].tolist()


def test_ctrl_c_leaves_the_draws_so_far():
    def hook(kernel, params, stage, number):
        if stage == "Sample [2]" and number == 6:
            raise KeyboardInterrupt

    mcmc = silent(NUTS(conjugate, engine="eager"), num_chains=3, hook_fn=hook)
    mcmc.run(torch.ones(3))
    assert mcmc.interrupted
    assert mcmc.get_samples()["mu"].shape == (27,)
    assert mcmc.get_samples(group_by_chain=True)["mu"].shape == (2, 7)
    assert mcmc.get_extra_fields(group_by_chain=True)["energy"].shape == (2, 7)
    assert len(mcmc.diagnostics()["divergences"]) == 3
    mcmc.hook_fn = None
    mcmc.run(torch.ones(3))
    assert not mcmc.interrupted and mcmc.get_samples()["mu"].shape == (60,)


def test_ctrl_c_in_the_model_and_in_warm_up():
    calls = []

    def model():
        calls.append(0)
        if len(calls) == 30:
            raise KeyboardInterrupt
        pyroxene.sample("x", dist.Normal(0.0, 1.0))

    mcmc = silent(NUTS(model, engine="eager"))
    mcmc.run()
    assert mcmc.interrupted and mcmc.get_samples()["x"].shape == (0,)
    assert mcmc.get_samples(group_by_chain=True)["x"].shape == (1, 0)
    mcmc.run()
    assert not mcmc.interrupted and mcmc.get_samples()["x"].shape == (20,)


def test_divergences_say_where():
    def funnel():
        scale = pyroxene.sample("scale", dist.Normal(0.0, 3.0))
        pyroxene.sample("x", dist.Normal(torch.zeros(9), (scale / 2).exp()).to_event(1))

    mcmc = silent(NUTS(funnel, engine="eager", step_size=1.0, adapt_step_size=False), 200, 1, num_chains=2)
    mcmc.run()
    diverging = mcmc.get_extra_fields()["diverging"]
    found = mcmc.get_divergences()
    assert int(diverging.sum()) > 0, "a step size of one does not fit the neck"
    assert len(found["draw"]) == int(diverging.sum()) == found["scale"].shape[0] and found["x"].shape[1:] == (9,)
    assert diverging.nonzero().flatten().tolist() == (200 * found["chain"] + found["draw"]).tolist()
    numbers = mcmc.diagnostics()["divergences"]
    assert sum(map(len, numbers.values())) == int(diverging.sum())
    assert any("diverged" in str(finding) for finding in mcmc.findings())


def test_a_progress_line_is_shown_for_long_runs_only(monkeypatch, capfd):
    from pyroxene.infer.mcmc import progress

    MCMC(NUTS(conjugate, engine="eager"), 5, 5).run(torch.ones(3))
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    MCMC(NUTS(conjugate, engine="eager"), 5, 5).run(torch.ones(3))
    assert "10/10" in capfd.readouterr().err
    MCMC(RandomWalkKernel(conjugate), 5, 5).run(torch.ones(3))
    shown = capfd.readouterr().err
    assert "10/10" in shown
    silent(NUTS(conjugate, engine="eager"), 5, 5).run(torch.ones(3))
    assert capfd.readouterr().err == ""


def test_a_second_run_makes_its_own_transforms():
    def model(top):
        pyroxene.sample("x", dist.Uniform(0.0, top))
        pyroxene.sample("z", dist.Normal(0.0, 1.0))

    mcmc = silent(NUTS(model, engine="eager"), 50, 50)
    mcmc.run(torch.tensor(1.0))
    assert mcmc.get_samples()["x"].max() <= 1 and set(mcmc.transforms) == {"x", "z"}
    mcmc.run(torch.tensor(100.0))
    assert mcmc.get_samples()["x"].max() > 1


def test_potentials():
    mcmc = silent(NUTS(potential_fn=potential), 200, 100, initial_params={"x": torch.ones(3)})
    mcmc.run()
    assert mcmc.get_samples()["x"].shape == (200, 3) and mcmc.get_samples()["x"].abs().mean() < 1.5
    mcmc = silent(NUTS(potential_fn=potential), initial_params={"x": torch.ones(2, 3)}, num_chains=2)
    mcmc.run()
    assert mcmc.get_samples(group_by_chain=True)["x"].shape == (2, 20, 3)
    exponential = {"x": torch.distributions.ExpTransform().inv}
    mcmc = silent(NUTS(potential_fn=potential), initial_params={"x": torch.ones(3)}, transforms=exponential)
    mcmc.run()
    assert bool((mcmc.get_samples()["x"] > 0).all())


def test_mistakes_in_arguments():
    with pytest.raises(UsageError, match="initial parameters"):
        silent(NUTS(potential_fn=potential)).run()
    with pytest.raises(UsageError, match="leading dimension"):
        silent(NUTS(potential_fn=potential), initial_params={"x": torch.zeros(3)}, num_chains=2)
    with pytest.raises(UsageError, match="do not fit the sites"):
        silent(NUTS(conjugate, engine="eager"), initial_params={"nu": torch.zeros(())}).run(torch.ones(3))
    with pytest.raises(UsageError, match="takes a kernel"):
        MCMC(NUTS, 5)
    with pytest.raises(UsageError, match="nothing to draw"):
        MCMC(NUTS(conjugate), 0)
    with pytest.raises(UsageError, match="chain method"):
        MCMC(NUTS(conjugate), 5, chain_method="processes")
    with pytest.raises(UsageError, match="no draws yet"):
        MCMC(NUTS(conjugate), 5).get_samples()


def test_warmup_steps_default_to_the_draws():
    assert MCMC(NUTS(conjugate), 7).warmup_steps == 7
    mcmc = silent(NUTS(conjugate, engine="eager"), 7, 0)
    mcmc.run(torch.ones(3))
    assert mcmc.get_samples()["mu"].shape == (7,)


def test_initial_params_are_where_chains_begin():
    starts = torch.tensor([3.0, -2.0])
    kernel = NUTS(conjugate, engine="eager", step_size=1e-6, adapt_step_size=False, max_tree_depth=1)
    mcmc = silent(kernel, 1, 0, num_chains=2, initial_params={"mu": starts})
    mcmc.run(torch.ones(3))
    torch.testing.assert_close(mcmc.get_samples()["mu"], starts, atol=1e-3, rtol=0)


def test_double_precision_data():
    def model(x, y):
        weights = pyroxene.sample("weights", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        pyroxene.sample("y", dist.Normal(x @ weights, 1.0).to_event(1), obs=y)

    for dtype in (torch.float32, torch.float64):
        mcmc = silent(NUTS(model, engine="eager"))
        mcmc.run(torch.ones(5, 2, dtype=dtype), torch.ones(5, dtype=dtype))
        assert mcmc.get_samples()["weights"].dtype == dtype
