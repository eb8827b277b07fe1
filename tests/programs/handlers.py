"""Every value handler on one model: what a trace holds and what its log density is."""

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


def model(data):
    loc = pyro.sample("loc", dist.Normal(0.0, 2.0))
    scale = pyro.sample("scale", dist.LogNormal(0.0, 0.5))
    bias = pyro.param("bias", torch.tensor(0.25))
    with pyro.plate("data", len(data), dim=-1):
        local = pyro.sample("local", dist.Normal(loc, scale))
        pyro.sample("obs", dist.StudentT(4.0, local + bias, 0.5), obs=data)
    pyro.factor("penalty", -0.1 * loc**2)
    return pyro.deterministic("twice", 2 * loc)


def describe(title, trace):
    trace.compute_log_prob()
    show(f"{title} log density", trace.log_prob_sum())
    print(f"{title} sites:", " ".join(trace.nodes))
    print(f"{title} observed:", " ".join(trace.observation_nodes), "| latent:", " ".join(trace.stochastic_nodes))


def main():
    pyro.set_rng_seed(11)
    data = torch.tensor([0.3, -1.2, 2.5, 0.9])

    prior = poutine.trace(model).get_trace(data)
    describe("trace", prior)
    show("trace loc", prior.nodes["loc"]["value"])
    show("trace return", prior.nodes["_RETURN"]["value"])
    show("trace local log density", prior.nodes["local"]["log_prob"])

    replayed = poutine.trace(poutine.replay(model, trace=prior)).get_trace(data)
    describe("replay", replayed)

    blocked = poutine.trace(poutine.block(model, hide=["loc"])).get_trace(data)
    describe("block hide", blocked)
    exposed = poutine.trace(poutine.block(model, expose=["scale", "obs"])).get_trace(data)
    describe("block expose", exposed)
    chosen = poutine.trace(poutine.block(model, hide_fn=lambda site: site["type"] == "param")).get_trace(data)
    describe("block hide_fn", chosen)

    conditioned = pyro.condition(model, data={"loc": torch.tensor(1.5), "scale": torch.tensor(0.7)})
    describe("condition", poutine.trace(conditioned).get_trace(data))
    describe("uncondition", poutine.trace(poutine.uncondition(conditioned)).get_trace(data))

    intervened = poutine.trace(poutine.do(model, data={"loc": torch.tensor(-1.0)})).get_trace(data)
    describe("do", intervened)
    show("do return", intervened.nodes["_RETURN"]["value"])

    scaled = poutine.trace(poutine.scale(poutine.replay(model, trace=prior), scale=2.5)).get_trace(data)
    describe("scale", scaled)
    mask = torch.tensor([True, False, True, False])
    masked = poutine.trace(poutine.mask(poutine.replay(model, trace=prior), mask=mask)).get_trace(data)
    describe("mask", masked)
    show("mask obs log density", masked.nodes["obs"]["log_prob"])

    lifted = poutine.trace(poutine.lift(model, prior={"bias": dist.Normal(0.0, 0.1)})).get_trace(data)
    describe("lift", lifted)
    show("lift bias", lifted.nodes["bias"]["value"])

    substituted = poutine.trace(poutine.substitute(model, data={"bias": torch.tensor(3.0)})).get_trace(data)
    describe("substitute", substituted)
    show("substitute bias", substituted.nodes["bias"]["value"])

    seeded = poutine.seed(model, rng_seed=5)
    show("seed", [float(poutine.trace(seeded).get_trace(data).nodes["_RETURN"]["value"]) for _ in range(2)])

    with poutine.trace() as recorded, poutine.condition(data={"loc": torch.tensor(0.5)}):
        model(data)
    describe("as contexts", recorded.trace)

    copied = prior.copy()
    copied.remove_node("penalty")
    print("copied sites:", " ".join(copied.nodes))
    print(prior.format_shapes())


if __name__ == "__main__":
    main()
