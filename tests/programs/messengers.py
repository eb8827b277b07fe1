"""Handlers and effectful statements that a user writes."""

import math

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import NonlocalExit, am_i_wrapped, apply_stack, effectful

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


class LogSites(Messenger):
    """Notes each statement on its way down and up."""

    def __init__(self):
        super().__init__()
        self.notes = []

    def _process_message(self, msg):
        self.notes.append(f">{msg['type']}.{msg['name']}")

    def _postprocess_message(self, msg):
        self.notes.append(f"<{msg['name']}")


class Widen(Messenger):
    """Multiplies the scale of every normal that is not observed."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def _pyro_sample(self, msg):
        if not msg["is_observed"] and isinstance(msg["fn"], dist.Normal):
            msg["fn"] = dist.Normal(msg["fn"].loc, msg["fn"].scale * self.factor)

    def _pyro_post_sample(self, msg):
        msg["infer"]["widened"] = self.factor


class Fixed(Messenger):
    """Answers a custom statement, and stops it from going further out."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def _pyro_price(self, msg):
        msg["value"] = self.value
        msg["done"] = True
        msg["stop"] = True


@effectful(type="price")
def price(item, **kwargs):
    return torch.tensor(float(len(item)))


class Count(Messenger):
    def __enter__(self):
        self.count = 0
        return super().__enter__()

    def _pyro_price(self, msg):
        self.count += 1


class Stop(Messenger):
    """Leaves the program at a site."""

    def __init__(self, name):
        super().__init__()
        self.name = name

    def _pyro_sample(self, msg):
        if msg["name"] == self.name:
            msg["done"] = True
            msg["continuation"] = self._leave

    @staticmethod
    def _leave(msg):
        raise NonlocalExit(msg)


def model():
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    scale = pyro.param("scale", torch.tensor(0.5), constraint=dist.constraints.positive)
    with pyro.plate("n", 3):
        y = pyro.sample("y", dist.Normal(x, scale))
    return x + y.sum()


def main():
    pyro.set_rng_seed(21)
    print("wrapped:", am_i_wrapped())

    log = LogSites()
    with log:
        result = model()
    show("result", result.detach())
    print("notes:", " ".join(log.notes))

    with poutine.trace() as outer, Widen(10.0), poutine.trace() as inner:
        model()
    show("scale outside", outer.trace.nodes["x"]["fn"].scale)
    show("scale inside", inner.trace.nodes["x"]["fn"].scale)
    print("widened:", outer.trace.nodes["x"]["infer"].get("widened"))
    show("log density", outer.trace.log_prob_sum().detach())

    decorated = Widen(3.0)(model)
    show("decorated", poutine.trace(decorated).get_trace().nodes["x"]["fn"].scale)

    show("price without handlers", price("bread"))
    with Count() as outer_count, Fixed(torch.tensor(9.5)), Count() as inner_count:
        show("price", price("bread", name="p"))
    print("counts:", outer_count.count, inner_count.count)

    message = {
        "type": "sample", "name": "by_hand", "fn": dist.Normal(2.0, 1.0), "args": (), "kwargs": {}, "value": None,
        "is_observed": False, "infer": {}, "scale": 1.0, "mask": None, "cond_indep_stack": (), "done": False,
        "stop": False, "continuation": None,
    }  # fmt: skip
    with poutine.scale(scale=3.0), poutine.trace() as traced:
        apply_stack(message)
    show("message value", message["value"])
    show("message scale", message["scale"])
    print("traced:", " ".join(traced.trace.nodes))

    try:
        with Stop("y"):
            model()
    except NonlocalExit as leave:
        print("left at:", leave.site["name"])

    everything = poutine.infer_config(coins, lambda site: {"enumerate": "parallel"} if site["name"] == "a" else {})
    enumerated = poutine.trace(poutine.enum(everything, first_available_dim=-1)).get_trace()
    enumerated.compute_log_prob()
    show("enumerated a", enumerated.nodes["a"]["value"])
    show("enumerated log density", enumerated.nodes["b"]["log_prob"])
    show("total probability", math.exp(float(enumerated.nodes["a"]["log_prob"].exp().sum().log())))
    with poutine.block(), LogSites() as silent:
        coins()
    print("inside block:", " ".join(silent.notes))


def coins():
    a = pyro.sample("a", dist.Bernoulli(0.3))
    return pyro.sample("b", dist.Normal(a, 1.0), obs=torch.tensor(0.4))


if __name__ == "__main__":
    main()
