"""Models whose dependencies and drawings are known: what pyro-ppl 1.9.2 says of them is in inspect_expected.json.

To write that file anew, run this one where pyro-ppl is installed: `python inspect_models.py > inspect_expected.json`.
"""

from __future__ import annotations

import json
import re
import warnings

import torch
from torch.distributions import constraints


def zoo(pyro, dist):
    """Return name -> (model, its arguments, its keyword arguments), written in the language `pyro`."""
    poutine = pyro.poutine
    models = {}

    def add(args=(), kwargs=None):
        def keep(fn):
            models[fn.__name__] = (fn, args, kwargs)
            return fn

        return keep

    data3 = torch.tensor([0.1, -0.2, 0.3])
    linear = torch.nn.Linear(2, 1)

    def normal(loc=0.0, scale=1.0):
        return dist.Normal(loc, scale)

    @add()
    def chain():
        a = pyro.sample("a", normal())
        b = pyro.sample("b", normal(a))
        c = pyro.sample("c", normal(b))
        pyro.sample("d", normal(c), obs=torch.tensor(1.0))

    @add()
    def collider():
        a = pyro.sample("a", normal())
        b = pyro.sample("b", normal())
        c = pyro.sample("c", normal(a + b), obs=torch.tensor(0.0))
        pyro.sample("d", normal(c, b.exp()))

    @add()
    def plates():
        m = pyro.sample("m", normal())
        with pyro.plate("i", 3):
            x = pyro.sample("x", normal(m))
            pyro.sample("y", normal(x), obs=data3)

    @add()
    def vector_dependency():
        with pyro.plate("i", 3):
            x = pyro.sample("x", normal())
            y = pyro.sample("y", normal(x))
        with pyro.plate("j", 3):
            pyro.sample("z", normal(y), obs=data3)

    @add()
    def nested():
        g = pyro.sample("g", normal())
        with pyro.plate("outer", 2, dim=-2):
            a = pyro.sample("a", normal(g))
            with pyro.plate("inner", 3, dim=-1):
                b = pyro.sample("b", normal(a))
                pyro.sample("c", normal(b), obs=torch.zeros(2, 3))

    @add()
    def overlapping():
        p = pyro.plate("p", 2, dim=-1)
        q = pyro.plate("q", 3, dim=-2)
        with p:
            a = pyro.sample("a", normal())
        with q:
            b = pyro.sample("b", normal())
        with p, q:
            c = pyro.sample("c", normal(a + b))
        pyro.sample("d", normal(c.sum()), obs=torch.tensor(0.0))

    @add()
    def overlapping3():
        p = pyro.plate("p", 2, dim=-1)
        q = pyro.plate("q", 3, dim=-2)
        r = pyro.plate("r", 4, dim=-3)
        with p:
            a = pyro.sample("a", normal())
        with q:
            b = pyro.sample("b", normal())
        with r:
            e = pyro.sample("e", normal())
        with p, q:
            c = pyro.sample("c", normal(a + b))
        with q, r:
            f = pyro.sample("f", normal(b + e))
        with p, q, r:
            pyro.sample("y", normal(c + f), obs=torch.zeros(4, 3, 2))

    @add()
    def overlapping_same_size_order():
        r = pyro.plate("r", 4, dim=-3)
        p = pyro.plate("p", 2, dim=-1)
        q = pyro.plate("q", 3, dim=-2)
        with r, p:
            a = pyro.sample("a", normal())
        with q:
            b = pyro.sample("b", normal())
        with q, p:
            c = pyro.sample("c", normal(b))
        with r, q, p:
            pyro.sample("y", normal(a + c), obs=torch.zeros(4, 3, 2))

    @add()
    def masked():
        a = pyro.sample("a", normal())
        with poutine.mask(mask=False):
            b = pyro.sample("b", normal(a))
        with pyro.plate("i", 3), poutine.mask(mask=torch.tensor([True, False, True])):
            c = pyro.sample("c", normal(b))
        pyro.sample("d", normal(c.sum()).mask(False), obs=torch.tensor(0.0))
        pyro.sample("e", normal(c.sum()).mask(torch.tensor(True)), obs=torch.tensor(0.0))

    @add()
    def discrete():
        w = pyro.sample("w", dist.Dirichlet(torch.ones(3)))
        with pyro.plate("k", 3):
            loc = pyro.sample("loc", normal())
        with pyro.plate("i", 3):
            z = pyro.sample("z", dist.Categorical(w))
            pyro.sample("x", normal(loc[z]), obs=data3)

    @add()
    def deterministic():
        a = pyro.sample("a", normal())
        b = pyro.deterministic("b", a * 2)
        c = pyro.sample("c", normal(b))
        with pyro.plate("i", 3):
            d = pyro.deterministic("d", torch.arange(3.0) * c)
            pyro.sample("e", normal(d), obs=data3)

    @add()
    def factors():
        a = pyro.sample("a", normal())
        with pyro.plate("i", 3):
            b = pyro.sample("b", normal())
            pyro.factor("f", -((a - b) ** 2))
        pyro.factor("g", a)
        pyro.factor("h", torch.tensor(1.0))

    @add()
    def subsampled():
        m = pyro.sample("m", normal())
        with pyro.plate("i", 10, subsample_size=3) as ind:
            s = pyro.sample("s", normal(m))
            pyro.sample("y", normal(s), obs=torch.arange(10.0)[ind])

    @add((torch.arange(10.0),))
    def subsample_statement(data):
        m = pyro.sample("m", normal())
        with pyro.plate("i", 10, subsample_size=4):
            batch = pyro.subsample(data, event_dim=0)
            pyro.sample("y", normal(m), obs=batch)

    @add()
    def given_subsample():
        with pyro.plate("i", 10, subsample=torch.tensor([1, 2])):
            pyro.sample("y", normal(), obs=torch.zeros(2))
            pyro.sample("z", normal())

    @add()
    def params():
        loc = pyro.param("loc", torch.tensor(0.0))
        scale = pyro.param("scale", torch.tensor(1.0), constraint=constraints.positive)
        w = pyro.param("w", torch.ones(3) / 3, constraint=constraints.simplex)
        pyro.param("unused", torch.tensor(0.5), constraint=constraints.interval(0.0, 1.0))
        v = pyro.param("v", lambda: torch.ones(3, 2), constraint=constraints.independent(constraints.positive, 1))
        g = pyro.param("g", torch.tensor(3.0), constraint=constraints.greater_than(2.0))
        a = pyro.sample("a", normal(loc, scale))
        pyro.sample("z", dist.Categorical(w))
        with pyro.plate("i", 3):
            pyro.sample("x", normal(a, g), obs=data3)
            pyro.sample("xx", normal(v.sum(), g).mask(False))

    @add()
    def params_in_plate():
        with pyro.plate("i", 3):
            loc = pyro.param("loc", torch.zeros(3), event_dim=0)
            loc2 = pyro.param("loc2", torch.zeros(3))
            a = pyro.sample("a", normal(loc))
        pyro.sample("b", normal(a.sum() + loc2.sum()), obs=torch.tensor(0.0))

    @add()
    def sequential_plate():
        m = pyro.sample("m", normal())
        for i in pyro.plate("i", 3):
            x = pyro.sample(f"x{i}", normal(m))
            pyro.sample(f"y{i}", normal(x), obs=torch.tensor(0.0))

    @add()
    def sequential_nested():
        for i in pyro.plate("i", 2):
            x = pyro.sample(f"x{i}", normal())
            with pyro.plate(f"j{i}", 3 + i):
                pyro.sample(f"y{i}", normal(x))

    @add()
    def markov():
        x = torch.tensor(0)
        probs = pyro.sample("probs", dist.Dirichlet(torch.ones(2, 2)).to_event(1))
        for t in pyro.markov(range(3)):
            x = pyro.sample(f"x{t}", dist.Categorical(probs[x]))
            pyro.sample(f"y{t}", normal(x.float()), obs=torch.tensor(1.0))

    @add()
    def names_in_any_order():
        z = pyro.sample("z", normal())
        b = pyro.sample("b", normal(z))
        a = pyro.sample("a", normal(b + z))
        pyro.sample("m", normal(a + b + z), obs=torch.tensor(0.0))

    @add()
    def same_plate_again():
        plate = pyro.plate("i", 3)
        with plate:
            a = pyro.sample("a", normal())
        s = pyro.sample("s", normal(a.mean()))
        with plate:
            pyro.sample("b", normal(s + a), obs=data3)

    @add()
    def elementwise_and_sum():
        with pyro.plate("i", 3):
            a = pyro.sample("a", normal())
            b = pyro.sample("b", normal(a.sum()))
            pyro.sample("c", normal(a + b), obs=data3)

    @add()
    def independent_latents():
        with pyro.plate("i", 3):
            a = pyro.sample("a", normal())
            b = pyro.sample("b", normal())
            pyro.sample("c", normal(a, b.exp()), obs=data3)

    @add()
    def multivariate():
        torch.eye(3)
        L = pyro.sample("L", dist.LKJCholesky(3, torch.tensor(1.0)))
        s = pyro.sample("s", dist.HalfCauchy(torch.ones(3)).to_event(1))
        x = pyro.sample("x", dist.MultivariateNormal(torch.zeros(3), scale_tril=s[:, None] * L))
        pyro.sample("y", dist.Normal(x, 1.0).to_event(1), obs=data3)

    @add()
    def wrapped_names():
        a = pyro.sample("a", normal().expand([2]).to_event(1))
        pyro.sample("b", normal().expand([2]).mask(True).to_event(1))
        pyro.sample("c", dist.LogNormal(a, 1.0).to_event(1))
        pyro.sample(
            "d", dist.TransformedDistribution(dist.Normal(a, 1.0), [dist.transforms.ExpTransform()]).to_event(1)
        )
        pyro.sample("e", dist.Delta(a, event_dim=1))
        pyro.sample("f", dist.Bernoulli(logits=a).to_event(1).mask(False))
        pyro.sample("g", dist.MixtureSameFamily(dist.Categorical(logits=a), dist.Normal(a, 1.0)))

    @add()
    def conditioned():
        def inner():
            a = pyro.sample("a", normal())
            b = pyro.sample("b", normal(a))
            pyro.sample("c", normal(b))

        return pyro.condition(inner, data={"b": torch.tensor(1.0)})()

    @add()
    def control_flow():
        k = pyro.sample("k", dist.Bernoulli(torch.tensor(0.999999)))
        x = pyro.sample("x", normal(torch.arange(3.0)[k.long()]))
        if k:
            y = pyro.sample("y", normal(torch.where(x > 100, x, -x)))
        else:
            y = pyro.sample("y", normal())
        with pyro.plate("i", 2):
            e = pyro.sample("e", normal(torch.einsum("i,i->", torch.ones(2), torch.stack([x, y]))))
            v = torch.func.vmap(lambda t: t * 2)(e)
            pyro.sample("o", normal(v), obs=torch.zeros(2))

    @add()
    def partly_observed():
        a = pyro.sample("a", normal())
        with pyro.plate("i", 3):
            x = pyro.sample("x", normal(a), obs=data3, obs_mask=torch.tensor([True, False, True]))
            pyro.sample("y", normal(x), obs=data3)

    @add()
    def scaled():
        a = pyro.sample("a", normal())
        with poutine.scale(scale=2.0):
            pyro.sample("b", normal(a), obs=torch.tensor(0.0))

    @add()
    def observed_uses_latent_value():
        a = pyro.sample("a", normal())
        b = pyro.sample("b", normal(), obs=a * 2)
        pyro.sample("c", normal(b))

    @add()
    def observed_param():
        p = pyro.param("p", torch.tensor(0.3))
        a = pyro.sample("a", normal(), obs=p)
        pyro.sample("b", normal(a), obs=p + 1)

    @add()
    def plate_no_sites():
        with pyro.plate("i", 3):
            pass
        pyro.sample("a", normal())

    @add()
    def plate_stack():
        with pyro.plate_stack("p", (2, 3)):
            a = pyro.sample("a", normal())
        pyro.sample("b", normal(a.sum()), obs=torch.tensor(0.0))

    @add()
    def uniform_support():
        a = pyro.sample("a", dist.Uniform(0.0, 1.0))
        b = pyro.sample("b", dist.Uniform(0.0, 1 + a))
        pyro.sample("c", dist.Beta(1 + a, b + 1))

    @add()
    def module():
        net = pyro.module("net", linear)
        x = pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("y", dist.Normal(net(x), 1.0).to_event(1), obs=torch.zeros(1))

    @add()
    def deterministic_chain():
        a = pyro.sample("a", normal())
        b = pyro.deterministic("b", a + 1)
        c = pyro.deterministic("c", b + 1)
        with pyro.plate("i", 2):
            d = pyro.sample("d", normal(c))
        pyro.deterministic("e", d.sum() + a)

    @add()
    def same_site_two_plates_order():
        with pyro.plate("j", 2, dim=-1):
            with pyro.plate("i", 3, dim=-2):
                a = pyro.sample("a", normal())
                pyro.sample("b", normal(a), obs=torch.zeros(3, 2))

    @add()
    def nested_three_deep():
        with pyro.plate("r", 2, dim=-3):
            a = pyro.sample("a", normal())
            with pyro.plate("s", 3, dim=-2):
                b = pyro.sample("b", normal(a))
                with pyro.plate("t", 4, dim=-1):
                    pyro.sample("c", normal(b), obs=torch.zeros(2, 3, 4))

    @add()
    def nested_inner_only():
        with pyro.plate("r", 2, dim=-2), pyro.plate("t", 4, dim=-1):
            pyro.sample("c", normal(), obs=torch.zeros(2, 4))

    @add()
    def two_inside_one():
        with pyro.plate("r", 2, dim=-2):
            a = pyro.sample("a", normal())
            with pyro.plate("s", 3, dim=-1):
                pyro.sample("b", normal(a))
            with pyro.plate("t", 4, dim=-1):
                pyro.sample("c", normal(a))

    @add()
    def auxiliary_and_noninfer():
        a = pyro.sample("a", normal(), infer={"is_auxiliary": True})
        with poutine.block():
            h = pyro.sample("h", normal(a))
        pyro.sample("b", normal(h))

    @add()
    def callable_site():
        a = pyro.sample("a", normal())
        return a

    @add()
    def odd_names():
        with pyro.plate("plate with space", 2):
            pyro.sample("site.with.dots", normal())
            pyro.sample("site with space", normal())
            pyro.sample("site:colon", normal())
            pyro.sample('quote"d', normal())

    @add((2.0,), {"extra": torch.tensor(3.0)})
    def with_args(x, extra=None):
        a = pyro.sample("a", normal(torch.tensor(x)))
        pyro.sample("b", normal(a + extra), obs=extra)

    @add((torch.zeros(3), torch.tensor([1.0, 0.0, 1.0])))
    def regression(x, y):
        b0 = pyro.sample("b0", normal())
        b1 = pyro.sample("b1", normal())
        s = pyro.sample("sigma", dist.HalfNormal(1.0))
        with pyro.plate("data", len(x)):
            mu = pyro.deterministic("mu", b0 + b1 * x)
            pyro.sample("y", normal(mu, s), obs=y)

    @add()
    def guide():
        for n in "ab":
            loc = pyro.param(n + "_loc", torch.tensor(0.0))
            scale = pyro.param(n + "_scale", torch.tensor(1.0), constraint=constraints.positive)
            pyro.sample(n, normal(loc, scale))
        with pyro.plate("i", 2):
            pyro.sample("c", dist.Delta(pyro.param("l", torch.zeros(2))))

    @add()
    def deltas():
        p = pyro.param("p", torch.tensor(0.5))
        a = pyro.sample("a", normal(p))
        b = pyro.sample("b", dist.Delta(a))
        c = pyro.sample("c", dist.Delta(a + b).mask(True))
        pyro.sample("d", dist.Delta(b, log_density=c))
        e = pyro.sample("e", dist.Delta(b.expand(2)).to_event(1))
        f = pyro.sample("f", dist.Delta(b.expand(2)).mask(False), obs=e)
        g = pyro.sample("g", dist.Delta(e[0]), obs=torch.tensor(0.0))
        h = pyro.deterministic("h", g + b + p)
        pyro.deterministic("i", torch.tensor(1.0))
        j = pyro.deterministic("j", p * 2)
        pyro.sample("k", normal(h + j))
        pyro.sample("m", normal(b), obs=torch.tensor(0.0))
        pyro.sample("q", normal(f.sum()))

    @add()
    def plates_union():
        with pyro.plate("i", 3):
            a = pyro.sample("a", normal())
            pyro.sample("c", normal(a), obs=data3)
        pyro.sample("d", normal(a.sum()), obs=torch.tensor(0.0))
        with pyro.plate("j", 3):
            b = pyro.sample("b", normal(a))
        with pyro.plate("i2", 3):
            pyro.sample("e", normal(a + b), obs=data3)

    @add()
    def latent_mask_scale():
        a = pyro.sample("a", normal())
        b = pyro.sample("b", normal())
        c = pyro.sample("c", normal())
        with poutine.mask(mask=a > 0):
            pyro.sample("d", normal())
        with poutine.scale(scale=b.exp()):
            pyro.sample("e", normal())
        pyro.sample("f", normal().mask(c > 0))

    @add()
    def posterior_fill():
        a = pyro.sample("a", normal())
        b = pyro.sample("b", normal())
        c = pyro.sample("c", normal(a))
        d = pyro.sample("d", normal(b))
        e = pyro.sample("e", normal(c + d))
        f = pyro.sample("f", normal(e), obs=torch.tensor(0.0))
        pyro.sample("g", normal(a + e + f))

    @add()
    def param_in_params():
        p = pyro.param("p", torch.tensor(0.5))
        q = pyro.param("q", lambda: p.detach() * 2)
        a = pyro.sample("a", normal(p * q))
        pyro.param("r", torch.tensor(0.0))
        r2 = pyro.param("r")
        pyro.sample("b", normal(a + r2))

    @add()
    def tuple_data():
        a = pyro.sample("a", normal())
        cov = torch.stack([torch.stack([a.exp(), a * 0]), torch.stack([a * 0, a.exp()])])
        pyro.sample("b", dist.MultivariateNormal(torch.zeros(2), cov + torch.eye(2)), obs=torch.zeros(2))

    @add()
    def done():
        def inner():
            a = pyro.sample("a", normal())
            b = pyro.sample("b", normal(a))
            pyro.sample("c", normal(b))

        return pyro.poutine.do(inner, data={"b": torch.tensor(1.0)})()

    @add()
    def lifted():
        def inner():
            a = pyro.param("a", torch.tensor(0.0))
            pyro.sample("c", normal(a))

        return pyro.poutine.lift(inner, prior=normal())()

    @add()
    def deterministic_in_plates():
        with pyro.plate("i", 3, dim=-1):
            a = pyro.sample("a", normal())
            pyro.deterministic("d", a * 2)
            with pyro.plate("k", 2, dim=-2):
                e = pyro.deterministic("e", a + torch.zeros(2, 3))
                pyro.sample("f", normal(e), obs=torch.zeros(2, 3))

    @add()
    def hmm_subsampled():
        probs = pyro.param("probs", torch.ones(2, 2) / 2, constraint=constraints.simplex)
        with pyro.plate("seqs", 6, 2, dim=-1):
            x = 0
            for t in pyro.markov(range(2)):
                x = pyro.sample(f"x{t}", dist.Categorical(probs[x]))
                with pyro.plate(f"tones{t}", 3, dim=-2):
                    pyro.sample(f"y{t}", normal(x.float()), obs=torch.zeros(3, 2))

    @add()
    def scalar_likelihood_outside():
        with pyro.plate("p", 2, dim=-2):
            with pyro.plate("q", 3, dim=-1):
                x = pyro.sample("x", normal())
                y = pyro.sample("y", normal(x))
            pyro.sample("z", normal(y.sum(-1, keepdim=True)), obs=torch.zeros(2, 1))
        pyro.sample("w", normal(x.sum() + y.sum()), obs=torch.tensor(0.0))

    @add()
    def plate_named_as_cluster():
        with pyro.plate("N", 3):
            pyro.sample("x", normal(), obs=data3)
        with pyro.plate("x_plate", None):
            pyro.sample("x2", normal())

    @add()
    def handler_masks():
        a = pyro.sample("a", normal())
        with poutine.mask(mask=False):
            b = pyro.sample("b", normal(a), obs=torch.tensor(0.0))
            c = pyro.sample("c", normal(a))
            pyro.factor("f", a)
        with poutine.mask(mask=True):
            d = pyro.sample("d", normal(b + c), obs=torch.tensor(0.0))
        with poutine.mask(mask=torch.tensor(False)):
            e = pyro.sample("e", normal(b + c), obs=torch.tensor(0.0))
        pyro.sample("g", normal(b + c + d + e))

    @add()
    def sequential_then_outside():
        xs = []
        for i in pyro.plate("i", 2):
            x = pyro.sample(f"x{i}", normal())
            z = pyro.sample(f"z{i}", normal(x))
            xs.append(x + z)
            with pyro.plate(f"v{i}", 2):
                w = pyro.sample(f"w{i}", normal(x))
                xs.append(w.sum())
        y = pyro.sample("y", normal(torch.stack(xs).sum()), obs=torch.tensor(0.0))
        for j in pyro.plate("i2", 2):
            pyro.sample(f"u{j}", normal(xs[0] + y))

    @add()
    def plate_reused_in_loop():
        p = pyro.plate("p", 3)
        x = torch.zeros(3)
        for t in range(2):
            with p:
                x = pyro.sample(f"x{t}", normal(x))
                pyro.sample(f"y{t}", normal(x), obs=data3)
        pyro.sample("end", normal(x.mean()), obs=torch.tensor(0.0))

    @add()
    def in_place():
        a = pyro.sample("a", normal())
        b = pyro.sample("b", normal())
        buf = torch.zeros(2)
        buf[0] = a
        buf[1] = b
        c = pyro.sample("c", normal(buf.sum()))
        v = torch.stack([a, a])
        v[0] = b
        v += c
        pyro.sample("d", dist.Normal(v, 1.0).to_event(1), obs=torch.zeros(2))

    @add()
    def python_scalars():
        a = pyro.sample("a", normal())
        b = pyro.sample("b", normal(torch.tensor(a.item()) + float(a)))
        pyro.sample("c", normal(torch.tensor([a, b]).sum()))

    @add()
    def returns_nothing_named():
        pass

    @add([(torch.zeros(3), torch.ones(3)), (torch.zeros(3),)])
    def semisupervised(x, y=None):
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", normal())
            y = pyro.sample("y", dist.Bernoulli(logits=z), obs=y)
            pyro.sample("x", normal(z + y), obs=x)

    @add((torch.zeros(3),), [{}, {"y": torch.ones(3)}])
    def semisupervised_by_keyword(x, y=None):
        y = pyro.sample("y", dist.Bernoulli(torch.ones(3) / 2).to_event(1), obs=y)
        pyro.sample("x", dist.Normal(y, 1.0).to_event(1), obs=x)

    return models


def parse(source):
    """Return the nodes, edges and plates that a graph's text holds, whatever the order and the style.

    nodes: [name, is a param, is dashed, fill: "white", "grey" or "half"; the fill of dashed nodes is left out].
    edges: [upstream, downstream]. plates: name -> [name around it, or None, all nodes inside].
    """
    nodes, edges, plates, around = {}, set(), {}, []
    word = r'("(?:[^"\\]|\\.)*"|[^\s\[]+)'

    def name_of(text):
        return text.strip('"').replace('\\"', '"').replace("%3A", ":")

    for line in map(str.strip, source.splitlines()[1:]):
        if found := re.fullmatch(rf"subgraph {word} {{", line):
            name = name_of(found[1]).removeprefix("cluster_")
            plates[name] = [around[-1] if around else None, set()]
            around.append(name)
        elif line == "}":
            around = around[:-1]
        elif found := re.fullmatch(rf"{word} -> {word}", line):
            edges.add((name_of(found[1]), name_of(found[2])))
        elif (found := re.fullmatch(rf"{word} \[(label=.*)\]", line)) and "description_node" not in line:
            name, style = name_of(found[1]), found[2]
            fill = re.search(r"fillcolor=(\S+)", style)[1]
            fill = "half" if ":" in fill else "white" if fill == "white" else "grey"
            dashed = "dashed" in style
            nodes[name] = [name, "shape=plain " in style, dashed, None if dashed else fill]
            for plate in around:
                plates[plate][1].add(name)
    return {
        "nodes": sorted(nodes.values()),
        "edges": sorted(map(list, edges)),
        "plates": {name: [parent, sorted(inside)] for name, (parent, inside) in plates.items()},
    }


def plain(dependencies):
    """Return dependencies with sorted lists in the place of sets, as JSON holds them."""
    return {
        graph: {one: {other: sorted(names) for other, names in others.items()} for one, others in edges.items()}
        for graph, edges in dependencies.items()
    }


def describe(pyro, inspect, model, args, kwargs):
    """Return all that there is to know of a model; of one that runs with several arguments, the drawings.

    Each answer comes without and with `deterministic` sites as variables, or once where that makes no difference.
    """
    found = {"dependencies": [], "relations": [], "graphs": []}
    for deterministic in (False, True):
        if not isinstance(args, list) and not isinstance(kwargs, list):
            for kind, ask in (("dependencies", inspect.get_dependencies), ("relations", inspect.get_model_relations)):
                pyro.set_rng_seed(0)
                answer = ask(model, args, kwargs, include_deterministic=deterministic)
                found[kind].append(plain(answer) if kind == "dependencies" else answer)
        pyro.set_rng_seed(0)
        graph = inspect.render_model(model, args, kwargs, render_params=True, render_deterministic=deterministic)
        found["graphs"].append(parse(graph.source))
    pyro.clear_param_store()
    return {kind: answers[:1] if answers[:1] == answers[1:] else answers for kind, answers in found.items()}


def main():
    """Print what pyro-ppl says, one line for each model."""
    import pyro
    import pyro.distributions
    import pyro.infer.inspect

    warnings.simplefilter("ignore")
    lines = [
        f"{json.dumps(name)}: {json.dumps(describe(pyro, pyro.infer.inspect, *case))}"
        for name, case in zoo(pyro, pyro.distributions).items()
    ]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
