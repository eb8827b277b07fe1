"""Questions about sites, and the validation switch."""

from __future__ import annotations

import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine
from pyroxene.poutine import util


def test_the_validation_switch():
    assert poutine.is_validation_enabled()
    poutine.enable_validation(False)
    assert not util.is_validation_enabled()
    poutine.enable_validation(True)
    with pyroxene.validation_enabled(False):
        assert not util.is_validation_enabled()
    assert util.is_validation_enabled()


def test_kinds_of_sites():
    def model():
        pyroxene.factor("f", torch.tensor(1.0))
        pyroxene.sample("x", dist.Normal(0.0, 1.0))
        with pyroxene.plate("p", 4, 2):
            pyroxene.param("w", torch.ones(()))

    trace = poutine.trace(model).get_trace()
    assert [name for name, site in trace.nodes.items() if util.site_is_factor(site)] == ["f"]
    assert [name for name, site in trace.nodes.items() if util.site_is_subsample(site)] == ["p"]
    assert list(util.prune_subsample_sites(trace)) == ["_INPUT", "f", "x", "w", "_RETURN"]
    assert "p" in trace
