"""Programs whose ELBO and gradients are known in closed form, or by enumeration."""

from __future__ import annotations

import itertools
import math

import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.distributions import constraints

Y = torch.tensor([0.5, -1.0, 2.0])
DATA = torch.tensor([0.5, -1.0, 2.0, 0.7, -0.2, 1.4])


def normal_model(y=Y):
    """Prior N(0, 1) on x, observations N(x, 1)."""
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    with pyro.plate("data", len(y)):
        pyro.sample("y", dist.Normal(x, 1.0), obs=y)


def normal_guide(kind=dist.Normal):
    def guide(y=Y):
        loc = pyro.param("loc", torch.tensor(0.3))
        scale = pyro.param("scale", torch.tensor(0.7), constraint=constraints.positive)
        pyro.sample("x", kind(loc, scale))

    return guide


def normal_elbo(loc=0.3, scale=0.7, y=Y):
    """E_q[log p(x, y) - log q(x)], written out."""
    second = loc**2 + scale**2
    log_prior = -0.5 * math.log(2 * math.pi) - 0.5 * second
    log_likelihood = sum(-0.5 * math.log(2 * math.pi) - 0.5 * (v * v - 2 * v * loc + second) for v in y.tolist())
    entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(scale)
    return log_prior + log_likelihood + entropy


def normal_gradients(loc=0.3, scale=0.7, y=Y):
    """Of the loss, with respect to loc and to log(scale), the unconstrained parameters."""
    return [loc - sum(v - loc for v in y.tolist()), (1 + len(y)) * scale**2 - 1]


def chain():
    """Latent a -> b, and c by itself; y depends on b, w on c."""
    a = pyro.sample("a", dist.Bernoulli(0.3))
    b = pyro.sample("b", dist.Bernoulli(0.2 + 0.6 * a))
    c = pyro.sample("c", dist.Bernoulli(0.5))
    pyro.sample("y", dist.Normal(b, 1.0), obs=torch.tensor(0.8))
    pyro.sample("w", dist.Normal(c, 1.0), obs=torch.tensor(0.1))


def chain_guide(options=None):
    infer = {"baseline": options} if options else {}

    def guide():
        q = pyro.param("q", torch.tensor([0.4, 0.3, 0.6]), constraint=constraints.unit_interval)
        a = pyro.sample("a", dist.Bernoulli(q[0]), infer=infer)
        pyro.sample("b", dist.Bernoulli(torch.where(a > 0, q[1], 1 - q[1])))
        pyro.sample("c", dist.Bernoulli(q[2]), infer=infer)

    return guide


def chain_gradient():
    """The gradient of the chain's loss with respect to the unconstrained q, by enumeration."""
    leaf = torch.logit(torch.tensor([0.4, 0.3, 0.6], dtype=torch.float64)).requires_grad_()
    q = leaf.sigmoid()

    def log_bernoulli(p, x):
        return torch.log(torch.as_tensor(p if x else 1 - p, dtype=torch.float64))

    def log_normal(x, loc):
        return -0.5 * math.log(2 * math.pi) - 0.5 * (x - loc) ** 2

    elbo = torch.zeros((), dtype=torch.float64)
    for a, b, c in itertools.product((0, 1), repeat=3):
        log_q = log_bernoulli(q[0], a) + log_bernoulli(q[1] if a else 1 - q[1], b) + log_bernoulli(q[2], c)
        log_p = log_bernoulli(0.3, a) + log_bernoulli(0.2 + 0.6 * a, b) + log_bernoulli(0.5, c)
        elbo = elbo + log_q.exp() * (log_p + log_normal(0.8, b) + log_normal(0.1, c) - log_q)
    return torch.autograd.grad(-elbo, leaf)[0]


def gradient(elbo, model, guide, *names):
    """Return the gradients that one call of `loss_and_grads` adds, flat, in the order of names (all by default)."""
    elbo.loss_and_grads(model, guide)
    found = []
    leaves = dict(pyro.get_param_store().named_parameters())
    for name in names or leaves:
        found.append(leaves[name].grad.reshape(-1))
    for leaf in leaves.values():
        leaf.grad = None
    return torch.cat(found)
