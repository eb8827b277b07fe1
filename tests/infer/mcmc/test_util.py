"""initialize_model, statistics by site, picking draws: shapes, and the numbers of pyro-ppl 1.9.2."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.density import init_to_value
from pyroxene.errors import UsageError
from pyroxene.infer.mcmc.util import (
    diagnostics,
    diagnostics_from_stats,
    initialize_model,
    print_summary,
    select_samples,
    summary,
)
from tests.infer.mcmc.programs import EFFECTS, conjugate, eight_schools, mixed
from tests.ops.statistics_of_waves import chains


@pytest.fixture
def samples():
    return {"a": chains()[..., 0], "b": chains()}


def test_a_models_potential_and_starts():
    params, potential_fn, transforms, trace = initialize_model(eight_schools, (EFFECTS,))
    assert {name: value.shape for name, value in params.items()} == {"mu": (), "tau": (), "theta": (8,)}
    z = {"mu": torch.tensor(1.0), "tau": torch.tensor(0.5), "theta": torch.linspace(-1, 1, 8)}
    values = {name: transforms[name].inv(value) for name, value in z.items()}
    conditioned = poutine.trace(poutine.condition(eight_schools, values)).get_trace(EFFECTS)
    expected = -(conditioned.log_prob_sum() + 0.5)  # d exp(z) / d z = exp(z)
    torch.testing.assert_close(potential_fn(z), expected)
    assert isinstance(trace, poutine.Trace) and "effects" in trace.nodes
    gradient = torch.autograd.functional.jacobian(lambda mu: potential_fn({**z, "mu": mu}), z["mu"])
    by_difference = (potential_fn({**z, "mu": z["mu"] + 0.01}) - potential_fn({**z, "mu": z["mu"] - 0.01})) / 0.02
    torch.testing.assert_close(gradient, by_difference, rtol=1e-2, atol=1e-3)


def test_several_chains_and_given_starts():
    params, potential_fn, _, _ = initialize_model(mixed, num_chains=3)
    assert {name: value.shape for name, value in params.items()} == {"w": (3, 2), "b": (3, 2, 3), "a": (3, 4)}
    assert potential_fn({name: value[0] for name, value in params.items()}).isfinite()
    y = torch.ones(3)
    given, *_ = initialize_model(conjugate, (y,), initial_params={"mu": torch.tensor(0.25)})
    assert given["mu"].item() == 0.25
    made, *_ = initialize_model(
        conjugate, model_kwargs={"y": y}, init_strategy=init_to_value(values={"mu": torch.tensor(1.5)})
    )
    assert made["mu"].item() == 1.5


def test_transforms_of_ones_own():
    softplus = dist.transforms.SoftplusTransform().inv
    _, _, transforms, _ = initialize_model(eight_schools, (EFFECTS,), transforms={"tau": softplus})
    assert transforms["tau"] is softplus or transforms["tau"].inv is softplus.inv


def test_statistics_by_site(samples):
    found = diagnostics(samples)
    assert list(found["b"]) == ["n_eff", "r_hat"] and found["b"]["n_eff"].shape == (2,)
    assert found["a"]["n_eff"].item() == pytest.approx(26.210741376170688)  # pyro-ppl 1.9.2
    single = diagnostics({"a": samples["a"][0]}, group_by_chain=False)
    assert single["a"]["n_eff"].item() == pytest.approx(24.818168408627624)
    few = diagnostics({"a": samples["a"][:, :1], "n": torch.arange(8).reshape(2, 4)})
    assert few["a"]["n_eff"].isnan() and few["a"]["r_hat"].isnan() and few["n"]["r_hat"] > 1


def test_the_summary_by_site(samples):
    found = summary(samples, prob=0.8)
    assert list(found["b"]) == ["mean", "std", "median", "10.0%", "90.0%", "n_eff", "r_hat"]
    assert found["b"]["10.0%"].shape == (2,)
    pooled = samples["a"].flatten()
    inside = (pooled >= found["a"]["10.0%"]) & (pooled <= found["a"]["90.0%"])
    assert inside.double().mean().item() == pytest.approx(0.8, abs=0.01)
    assert found["a"]["std"].item() == pytest.approx(pooled.std().item())
    one = summary({"a": samples["a"][:1, :1]})
    assert one["a"]["std"].isnan()


def test_the_printed_summary(samples, capsys):
    print_summary({"a": samples["a"][0]}, prob=0.5, group_by_chain=False)
    head, row = capsys.readouterr().out.splitlines()
    assert "25.0%" in head and "75.0%" in head and row.startswith("a ")


def test_picking_draws(samples):
    every = select_samples(samples)
    assert every["b"].shape == (400, 2) and torch.equal(every["b"], samples["b"].flatten(0, 1))
    assert torch.equal(select_samples(samples, group_by_chain=True)["b"], samples["b"])
    some = select_samples(samples, 7)
    assert some["b"].shape == (7, 2) and torch.equal(some["a"], some["b"][:, 0]), "of all sites the same draws"
    assert select_samples(samples, 7, group_by_chain=True)["b"].shape == (4, 7, 2)
    with pytest.raises(ValueError, match="no draws"):
        select_samples({}, 3)


def test_r_hat_from_statistics(samples):
    statistics = {
        (chain, "b"): {"mean": draws.mean(0), "variance": draws.var(0)} for chain, draws in enumerate(samples["b"])
    }
    statistics[0, "counted"] = {"count": 3}
    found = diagnostics_from_stats(statistics, 100, 4)
    assert list(found) == ["b"]
    from pyroxene.ops.stats import gelman_rubin

    torch.testing.assert_close(found["b"]["r_hat"], gelman_rubin(samples["b"]))


def test_a_start_that_does_not_fit():
    with pytest.raises(UsageError, match="another shape"):
        initialize_model(mixed, initial_params={"w": torch.zeros(2), "b": torch.zeros(3), "a": torch.zeros(4)})
