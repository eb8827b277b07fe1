"""Inputs made by arithmetic alone, and the statistics of them that test_stats.py compares with what Pyro 1.9.2 gives.

`python statistics_of_waves.py pyro.ops.stats` in an environment with pyro-ppl prints expected_stats.json.
"""

from __future__ import annotations

import functools
import importlib
import json
import sys

import torch


def wave(*shape, a=1.0):
    """Numbers in [-1.5, 1.5) without visible pattern, the same in every version of every library."""
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    value = torch.sin(index * 12.9898 * a + 0.3) * 43758.5453
    return ((value - value.floor() - 0.5) * 3).reshape(shape)


def chains():
    return wave(4, 100, 2).cumsum(1) * 0.3 + wave(4, 100, 2, a=1.7)


def programs(s):
    """Calls by name, each of which gives a tensor or a tuple of them."""
    x, log_likelihood, log_weights = chains(), wave(100, 5), wave(100, a=0.3)
    pareto = (wave(100, a=0.7) / 3 + 0.501).pow(-0.4)
    pred = wave(2, 20, 3)
    calls = {
        "autocorrelation": lambda: s.autocorrelation(x[0])[:20],
        "autocorrelation of a dim": lambda: s.autocorrelation(x, 1)[0, :5],
        "autocorrelation of a constant": lambda: s.autocorrelation(torch.zeros(5)),
        "autocovariance": lambda: s.autocovariance(x[0])[:20],
        "_cummin": lambda: s._cummin(log_likelihood),
        "quantile": lambda: s.quantile(x[0], [0.1, 0.5, 0.0, 1.0]),
        "quantile of one prob": lambda: s.quantile(x[0], 0.3),
        "quantile of a dim": lambda: s.quantile(x, [0.3, 0.33], 1),
        "quantile of a vector": lambda: s.quantile(x[0, :, 0], 0.3),
        "pi": lambda: s.pi(x[0], 0.9),
        "hpdi": lambda: s.hpdi(x[0], 0.9),
        "hpdi of a dim": lambda: s.hpdi(x, 0.33, dim=1),
        "weighed_quantile": lambda: s.weighed_quantile(x[0], [0.1, 0.5], log_weights),
        "weighed_quantile of a dim": lambda: s.weighed_quantile(x, [0.1, 0.5], log_weights, 1),
        "waic": lambda: s.waic(log_likelihood),
        "waic, weighted": lambda: s.waic(log_likelihood, log_weights),
        "waic, pointwise": lambda: s.waic(log_likelihood, pointwise=True),
        "waic of a dim": lambda: s.waic(log_likelihood.T, log_weights, dim=1),
        "fit_generalized_pareto": lambda: s.fit_generalized_pareto(pareto),
        "crps_empirical": lambda: s.crps_empirical(wave(20, 4, 3), wave(4, 3, a=0.2)),
        "crps_empirical of one draw": lambda: s.crps_empirical(wave(1, 3), wave(3, a=0.2)),
        "energy_score_empirical": lambda: s.energy_score_empirical(pred, wave(2, 3, a=0.2)),
        "energy_score_empirical of truths": lambda: s.energy_score_empirical(pred, wave(2, 5, 3, a=0.2)),
        "energy_score_empirical in batches": lambda: s.energy_score_empirical(pred[0], wave(6, 3, a=0.2), 3),
    }
    for name in ("gelman_rubin", "split_gelman_rubin", "effective_sample_size"):
        function = getattr(s, name)
        calls[name] = functools.partial(function, x)
        calls[f"{name} of dims"] = functools.partial(function, x.transpose(0, 1), 1, 0)
        calls[f"{name}, odd"] = functools.partial(function, x[:, :11])
        if name != "gelman_rubin":
            calls[f"{name}, one chain"] = functools.partial(function, x[:1])
    return calls


def numbers(value):
    """Nested lists of numbers."""
    return [numbers(part) for part in value] if isinstance(value, tuple) else torch.as_tensor(value).tolist()


if __name__ == "__main__":
    module = importlib.import_module(sys.argv[1])
    print(json.dumps({name: numbers(call()) for name, call in programs(module).items()}))
