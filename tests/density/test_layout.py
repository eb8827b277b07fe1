"""The layout: named values and the flat vector, there and back, with the right Jacobian."""

from __future__ import annotations

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.density import Layout, helpful_support_errors, trace_structure
from pyroxene.errors import SiteError, SupportError


def model():
    pyro.sample("a", dist.Normal(0.0, 1.0))
    pyro.sample("scale", dist.Gamma(2.0, 1.0))
    pyro.sample("w", dist.Dirichlet(torch.ones(3)))
    pyro.sample("chol", dist.LKJCholesky(3))
    with pyro.plate("rows", 4, dim=-2), pyro.plate("columns", 2, dim=-1):
        pyro.sample("u", dist.Uniform(-1.0, 2.0))


@pytest.fixture
def layout():
    return Layout.of(trace_structure(model).latent_sites.values())


def test_dim_counts_free_coordinates(layout):
    assert [slot.size for slot in layout.slots] == [1, 1, 2, 3, 8]
    assert layout.dim == 15
    assert Layout(()).dim == 0


def test_round_trip(layout):
    z = torch.randn(15, dtype=torch.float64)
    values = layout.constrain(z)
    assert values["scale"] > 0 and torch.allclose(values["w"].sum(), torch.ones((), dtype=torch.float64))
    assert values["u"].shape == (4, 2) and values["chol"].shape == (3, 3)
    assert torch.allclose(layout.unconstrain(values), z, atol=1e-9)


def test_batched_constrain_keeps_sample_dimensions_left(layout):
    z = torch.randn(5, 15, dtype=torch.float64)
    # one sample dimension left of two plates, as an outer vectorised plate makes it
    values = layout.constrain(z[:, None, None])
    assert values["u"].shape == (5, 4, 2) and values["w"].shape == (5, 1, 1, 3) and values["a"].shape == (5, 1, 1)
    assert torch.equal(values["u"][3], layout.constrain(z[3])["u"])


def test_log_jacobian_is_autograds():
    def small():
        pyro.sample("scale", dist.Gamma(2.0, 1.0))
        with pyro.plate("p", 3):
            pyro.sample("u", dist.Uniform(-1.0, 2.0))

    layout = Layout.of(trace_structure(small).latent_sites.values())
    z = torch.randn(4, dtype=torch.float64)
    _, log_jacobian = layout.constrain_with_log_jacobian(z)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: torch.cat([value.reshape(-1) for value in layout.constrain(z).values()]), z
    )
    assert torch.allclose(log_jacobian, torch.linalg.slogdet(jacobian)[1], atol=1e-12)


def test_unconstrain_names_what_is_missing_or_misshapen(layout):
    values = layout.constrain(torch.zeros(15))
    with pytest.raises(SiteError, match="no value for latent site 'w'"):
        layout.unconstrain({name: value for name, value in values.items() if name != "w"})
    with pytest.raises(SiteError, match="site 'u' has another shape"):
        layout.unconstrain({**values, "u": torch.zeros(3, 2)})


def test_discrete_support_is_refused_by_name():
    def discrete():
        pyro.sample("k", dist.Poisson(3.0))

    with pytest.raises(SupportError, match="discrete sample site 'k'"):
        Layout.of(trace_structure(discrete).latent_sites.values())
    site = trace_structure(discrete).latent_sites["k"]
    with pytest.raises(ValueError, match="'k'"), helpful_support_errors(site):
        raise NotImplementedError
