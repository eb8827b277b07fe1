"""One run's structure: latent sites, observations, plates, and what is refused."""

from __future__ import annotations

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.density import trace_structure
from pyroxene.errors import PlateError, SupportError


def model(y):
    pyro.param("p", torch.zeros(()))
    k = pyro.sample("k", dist.Bernoulli(0.5))
    with pyro.plate("outer", 3, dim=-2), pyro.plate("inner", 8, subsample_size=2, dim=-1):
        x = pyro.sample("x", dist.Normal(k, 1.0))
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)


def test_sites_and_plates():
    structure = trace_structure(model, torch.zeros(3, 2))
    assert list(structure.latent_sites) == ["k", "x"]
    assert list(structure.observed_sites) == ["y"]
    assert {name: frame.dim for name, frame in structure.plates.items()} == {"inner": -1, "outer": -2}
    assert structure.subsampled == ("inner",)
    assert "inner" not in structure.trace.nodes


def test_it_is_invisible_to_outer_handlers():
    with pyro.poutine.trace() as outer:
        trace_structure(model, torch.zeros(3, 2))
    assert list(outer.trace.nodes) == []


def test_refusals_name_plate_and_site():
    structure = trace_structure(model, torch.zeros(3, 2))
    with pytest.raises(PlateError, match="plate 'inner' subsamples, and NUTS needs all the data"):
        structure.refuse_subsampling("NUTS")
    with pytest.raises(SupportError, match="latent site 'k' is discrete"):
        structure.refuse_discrete("NUTS")


def test_full_plates_do_not_subsample():
    def full():
        with pyro.plate("all", 5, subsample_size=5):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    assert trace_structure(full).subsampled == ()
