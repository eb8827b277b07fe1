"""StreamingMCMC: statistics equal those of the draws that MCMC keeps."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.errors import UsageError
from pyroxene.infer import MCMC, NUTS, RandomWalkKernel, StreamingMCMC
from pyroxene.infer.mcmc import streaming
from pyroxene.ops.streaming import CountMeanStats, CountStats, StackStats, StatsOfDict
from tests.infer.mcmc.programs import EFFECTS, conjugate, eight_schools


def pair(kernel_of, num_chains, *args, **options):
    """A run of each kind from the same seed."""
    found = []
    for kind in (MCMC, StreamingMCMC):
        pyroxene.set_rng_seed(2)
        extra = {} if kind is MCMC else options
        mcmc = kind(kernel_of(), 12, 6, num_chains=num_chains, disable_progbar=True, **extra)
        mcmc.run(*args)
        found.append(mcmc)
    return found


@pytest.mark.parametrize("chunk", [5, 100])
@pytest.mark.parametrize("num_chains", [1, 2])
def test_statistics_are_those_of_the_draws(chunk, num_chains, monkeypatch):
    monkeypatch.setattr(streaming, "CHUNK", chunk)
    kept, streamed = pair(lambda: NUTS(eight_schools, engine="eager"), num_chains, EFFECTS)
    draws = kept.get_samples(group_by_chain=True)
    by_chain, merged = streamed.get_statistics(), streamed.get_statistics(group_by_chain=False)
    assert set(by_chain) == {(chain, name) for chain in range(num_chains) for name in ("mu", "tau", "theta")}
    for name, value in draws.items():
        for chain in range(num_chains):
            stats = by_chain[chain, name]
            assert stats["count"] == 12
            torch.testing.assert_close(stats["mean"], value[chain].mean(0))
            torch.testing.assert_close(stats["variance"], value[chain].var(0))
        assert merged[name]["count"] == 12 * num_chains
        torch.testing.assert_close(merged[name]["variance"], value.flatten(0, 1).var(0), rtol=1e-4, atol=1e-5)
    found, expected = streamed.diagnostics(), kept.diagnostics()
    assert found["divergences"] == expected["divergences"]
    assert found["acceptance rate"] == pytest.approx(expected["acceptance rate"])
    assert found["theta"]["r_hat"].shape == (8,)


def test_kernels_in_python():
    kept, streamed = pair(lambda: RandomWalkKernel(eight_schools), 2, EFFECTS, save_params=["tau"])
    merged = streamed.get_statistics(group_by_chain=False)
    assert list(merged) == ["tau"]
    torch.testing.assert_close(merged["tau"]["mean"], kept.get_samples()["tau"].mean())
    assert list(streamed.diagnostics()["acceptance rate"]) == ["chain 0", "chain 1"]


def test_other_statistics_and_a_second_run():
    statistics = StatsOfDict({(0, "mu"): StackStats}, default=CountMeanStats)
    mcmc = StreamingMCMC(
        NUTS(conjugate, engine="eager"), 8, 4, statistics=statistics, num_chains=2, disable_progbar=True
    )
    for _ in range(2):
        mcmc.run(torch.ones(3))
        found = mcmc.get_statistics()
        assert found[0, "mu"]["samples"].shape == (8,) and list(found[1, "mu"]) == ["count", "mean"]
    assert statistics.get()[0, "mu"] == {"count": 0}


def test_hooks_and_interrupts():
    def hook(kernel, params, stage, number):
        if stage == "Sample" and number == 3:
            raise KeyboardInterrupt

    mcmc = StreamingMCMC(NUTS(conjugate, engine="eager"), 8, 4, hook_fn=hook, disable_progbar=True)
    mcmc.run(torch.ones(3))
    assert mcmc.interrupted and mcmc.get_statistics()[0, "mu"]["count"] == 4


def test_mistakes():
    with pytest.warns(UserWarning, match="nothing to sample"):
        StreamingMCMC(
            NUTS(lambda: pyroxene.sample("y", dist.Normal(0.0, 1.0), obs=torch.tensor(0.0))), 3, disable_progbar=True
        ).run()
    mcmc = StreamingMCMC(NUTS(conjugate, engine="eager"), 3, disable_progbar=True, statistics=StatsOfDict())
    mcmc.run(torch.ones(3))
    assert mcmc.get_statistics() == {(0, "mu"): {"count": 3}}
    mcmc._statistics.stats["total"] = CountStats()
    with pytest.raises(UsageError, match="by chain and site"):
        mcmc.get_statistics(group_by_chain=False)
