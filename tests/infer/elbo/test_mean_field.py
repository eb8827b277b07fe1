"""TraceMeanField_ELBO: divergences where they are known, draws where they are not."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import kl_divergence

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import poutine, settings
from pyroxene.distributions import constraints
from pyroxene.distributions.testing.fakes import NonreparameterizedNormal
from pyroxene.errors import GuideError
from pyroxene.infer import Trace_ELBO, TraceMeanField_ELBO
from tests.infer.elbo.conjugate import Y, gradient, normal_guide, normal_model


def constant_loss(model, guide, **options):
    """Return the loss, and check that it has no variance."""
    losses = [TraceMeanField_ELBO(**options).loss(model, guide) for _ in range(4)]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)
    return losses[0]


PAIRS = {
    "normal": (dist.Normal(1.0, 0.5), dist.Normal(0.0, 1.0)),
    "gamma": (dist.Gamma(2.0, 3.0), dist.Gamma(1.0, 1.0)),
    "dirichlet": (dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0])), dist.Dirichlet(torch.ones(3))),
    "vector": (dist.Normal(torch.ones(3), 0.5).to_event(1), dist.Normal(torch.zeros(3), 1.0).to_event(1)),
}


@pytest.mark.parametrize("options", [{}, {"num_particles": 5, "vectorize_particles": True}], ids=["one", "vectorised"])
@pytest.mark.parametrize("pair", PAIRS)
def test_a_known_divergence_has_no_variance(pair, options):
    q, p = PAIRS[pair]

    def model():
        pyro.sample("x", p)
        with pyro.plate("p", 4):
            pyro.sample("z", p)

    def guide():
        pyro.sample("x", q)
        with pyro.plate("p", 4):
            pyro.sample("z", q)

    base = kl_divergence(q.base_dist, p.base_dist).sum() if pair == "vector" else kl_divergence(q, p)
    assert constant_loss(model, guide, **options) == pytest.approx(5 * base.item(), rel=1e-5)


def test_masks_and_scales_weigh_the_divergence():
    def program(loc):
        def run():
            with pyro.plate("p", 3), poutine.mask(mask=torch.tensor([True, False, True])), poutine.scale(scale=2.5):
                pyro.sample("x", dist.Normal(loc, 1.0))

        return run

    assert constant_loss(program(0.0), program(1.0)) == pytest.approx(2.5 * 2 * 0.5)


def test_minibatches_weigh_the_divergence():
    def program(loc):
        def run():
            with pyro.plate("p", 10, subsample_size=4):
                pyro.sample("x", dist.Normal(loc, 1.0))

        return run

    assert constant_loss(program(0.0), program(1.0)) == pytest.approx(10 * 0.5)


def test_a_divergence_that_is_one_number_stands_for_each_element_of_a_plate():
    class Shifted(dist.Normal):
        """A normal whose divergence, by the rule below, is a scalar whatever its batch shape."""

    @torch.distributions.register_kl(Shifted, Shifted)
    def one_number(q, p):
        return torch.tensor(2.0)

    def program(loc):
        def run():
            with pyro.plate("p", 5):
                pyro.sample("x", Shifted(loc * torch.ones(5), torch.ones(5)))

        return run

    assert constant_loss(program(0.0), program(2.0)) == pytest.approx(5 * 2.0)


def test_draws_stand_in_where_no_divergence_is_known(z_scores):
    def model():
        with pyro.plate("p", 20):
            pyro.sample("x", dist.StudentT(3.0, 0.0, 1.0))

    def guide():
        loc = pyro.param("loc", torch.tensor(0.5))
        with pyro.plate("p", 20):
            pyro.sample("x", dist.Normal(loc, 1.0))

    grid = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    loc = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    q = torch.distributions.Normal(loc, 1.0).log_prob(grid)
    p = torch.distributions.StudentT(torch.tensor(3.0, dtype=torch.float64)).log_prob(grid)
    exact = 20 * torch.trapezoid(q.exp() * (q - p), grid)
    slope = torch.autograd.grad(exact, loc)[0]
    assert abs(z_scores(lambda: TraceMeanField_ELBO().loss(model, guide), exact.detach())) < 7
    assert abs(z_scores(lambda: gradient(TraceMeanField_ELBO(), model, guide), slope)) < 7


def test_gradients_pass_through_a_divergence():
    """KL(N(m, s) || N(0, 1)) has gradients m and s - 1/s; times s, for log s."""

    def model():
        pyro.sample("x", dist.Normal(0.0, 1.0))

    found = gradient(TraceMeanField_ELBO(), model, lambda: normal_guide()(None))
    assert found.tolist() == pytest.approx([0.3, 0.7**2 - 1], rel=1e-5)


def test_a_divergence_depends_on_earlier_draws():
    """x enters z's prior: the divergence of z is taken at the drawn x, so that losses of equal seeds agree."""

    def model():
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("z", dist.Normal(x, 1.0))

    def guide():
        pyro.sample("x", dist.Normal(0.5, 1.0))
        pyro.sample("z", dist.Normal(0.0, 1.0))

    pyro.set_rng_seed(3)
    x = pyro.sample("x", dist.Normal(0.5, 1.0))
    pyro.set_rng_seed(3)
    expected = 0.125 + 0.5 * x.item() ** 2
    assert TraceMeanField_ELBO().loss(model, guide) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("log_density", [0.0, -1.5])
def test_auxiliary_sites_and_point_masses_count_as_in_trace_elbo(log_density):
    """A Delta's log_density is part of log q: a guide that draws u and computes x has it for its Jacobian."""

    def guide(y=Y):
        loc = pyro.param("loc", torch.tensor(0.2))
        u = pyro.sample("u", dist.Normal(loc, 1.0), infer={"is_auxiliary": True})
        pyro.sample("x", dist.Delta(u, log_density=log_density * loc))

    found = []
    for elbo in (TraceMeanField_ELBO(), Trace_ELBO()):
        pyro.set_rng_seed(3)
        loss = elbo.loss(normal_model, guide)
        pyro.set_rng_seed(3)
        found.append((loss, gradient(elbo, normal_model, guide).item()))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_delta_guide_maximises_the_joint_density():
    def guide(y=Y):
        pyro.sample("x", dist.Delta(pyro.param("point", torch.tensor(0.5))))

    point = torch.tensor(0.5)
    joint = dist.Normal(0.0, 1.0).log_prob(point) + dist.Normal(point, 1.0).log_prob(Y).sum()
    assert constant_loss(normal_model, guide) == pytest.approx(-joint.item(), rel=1e-5)
    assert gradient(TraceMeanField_ELBO(), normal_model, guide).item() == pytest.approx(4 * 0.5 - 1.5, rel=1e-5)


def test_another_order_of_sites_is_told():
    def model():
        pyro.sample("a", dist.Normal(0.0, 1.0))
        pyro.sample("b", dist.Normal(0.0, 1.0))

    def guide():
        pyro.sample("b", dist.Normal(0.0, 1.0))
        pyro.sample("a", dist.Normal(0.0, 1.0))

    with pytest.warns(UserWarning, match=r"mean field(.|\n)*\['a', 'b'\](.|\n)*\['b', 'a'\]"):
        TraceMeanField_ELBO().loss(model, guide)
    with settings.context(validate_infer=False):
        assert TraceMeanField_ELBO().loss(model, guide) == 0  # pytest turns a warning into an error


@pytest.mark.parametrize("auxiliary", [False, True])
def test_score_functions_are_refused_by_name(auxiliary):
    def guide(y=Y):
        infer = {"is_auxiliary": True} if auxiliary else {}
        p = pyro.param("p", torch.tensor(0.4), constraint=constraints.unit_interval)
        pyro.sample("b" if auxiliary else "x", NonreparameterizedNormal(p, 1.0), infer=infer)
        if auxiliary:
            pyro.sample("x", dist.Normal(0.0, 1.0))

    with pytest.raises(GuideError, match="fully reparametrized") as caught:
        TraceMeanField_ELBO().loss(normal_model, guide)
    assert caught.value.site == ("b" if auxiliary else "x")
    assert isinstance(caught.value, ValueError)
