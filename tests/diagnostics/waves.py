"""Draws made by arithmetic alone for test_draws.py; run with ArviZ 0.23.4 it prints expected.json."""

from __future__ import annotations

import json

import numpy


def wave(*shape, a=1.0):
    value = numpy.sin(numpy.arange(numpy.prod(shape)) * 12.9898 * a + 0.3) * 43758.5453
    return ((value - numpy.floor(value) - 0.5) * 3).reshape(shape)


def cases():
    """Draws by name, each of shape (num_chains, num_draws, 3)."""
    noise, walk = wave(4, 400, 3), numpy.zeros((4, 400, 3))
    for t in range(400):
        walk[:, t] = numpy.array([-0.6, 0.3, 0.95]) * walk[:, t - 1] + noise[:, t]
    return {
        "autoregressive": walk,
        "odd number": walk[:, :399],
        "one chain": walk[:1],
        "ties": numpy.round(walk),
        "apart": walk + 0.3 * numpy.arange(4)[:, None, None],
        "heavy tails": numpy.tan(noise * 1.04),
        "independent": noise,
        "four draws": walk[:, :4],
    }


def main():
    import arviz

    def of_each(function, draws, **options):
        return [float(function(draws[..., j], **options)) for j in range(3)]

    expected = {}
    for name, draws in cases().items():
        expected[name] = {
            **({} if name == "one chain" else {"rhat": of_each(arviz.rhat, draws)}),
            **{f"ess_{kind}": of_each(arviz.ess, draws, method=kind) for kind in ("bulk", "tail", "mean", "sd")},
            "ess_quantile": of_each(arviz.ess, draws, method="quantile", prob=0.3),
            **{f"mcse_{kind}": of_each(arviz.mcse, draws, method=kind) for kind in ("mean", "sd")},
            "mcse_quantile": of_each(arviz.mcse, draws, method="quantile", prob=0.3),
        }
    print(json.dumps(expected))


if __name__ == "__main__":
    main()
