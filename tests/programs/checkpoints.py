"""Saving and loading: the parameter store, an optimiser's state, a module's state, and pickles of both."""

import copy
import io
import os
import pickle
import tempfile

import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from torch.distributions import constraints

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


def model(data):
    rate = pyro.sample("rate", dist.Gamma(2.0, 2.0))
    with pyro.plate("data", len(data)):
        pyro.sample("obs", dist.Poisson(rate), obs=data)


def guide(data):
    shape = pyro.param("shape", torch.tensor(3.0), constraint=constraints.positive)
    ratio = pyro.param("ratio", torch.tensor(0.5), constraint=constraints.interval(0.0, 1.0))
    pyro.sample("rate", dist.Gamma(shape, ratio * 10.0))


class Line(PyroModule):
    """A line whose slope is random and whose scale is a constrained parameter."""

    def __init__(self):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.tensor(0.2))
        self.scale = PyroParam(torch.tensor(0.7), constraint=constraints.positive)
        self.slope = PyroSample(dist.Normal(0.0, 1.0))

    def forward(self, x, y=None):
        with pyro.plate("n", len(x)):
            return pyro.sample("y", dist.Normal(self.offset + self.slope * x, self.scale), obs=y)


def show_store(title):
    for name, value in pyro.get_param_store().items():
        show(f"{title} {name}", value.detach())


def main():
    pyro.set_rng_seed(5)
    data = torch.tensor([1.0, 0.0, 3.0, 2.0, 2.0])
    folder = tempfile.mkdtemp()
    store_file, optimizer_file = os.path.join(folder, "store.pt"), os.path.join(folder, "optimizer.pt")

    optimizer = pyro.optim.Adam({"lr": 0.05})
    svi = SVI(model, guide, optimizer, Trace_ELBO())
    show("before", [svi.step(data) for _ in range(20)][-3:])
    pyro.get_param_store().save(store_file)
    optimizer.save(optimizer_file)
    state = copy.deepcopy(pyro.get_param_store().get_state())
    show_store("saved")

    pyro.set_rng_seed(6)
    show("going on", [svi.step(data) for _ in range(5)])
    show_store("later")

    pyro.clear_param_store()
    print("cleared:", len(pyro.get_param_store().keys()))
    pyro.get_param_store().load(store_file)
    show_store("loaded")
    fresh = pyro.optim.Adam({"lr": 0.05})
    fresh.load(optimizer_file)
    pyro.set_rng_seed(6)
    svi = SVI(model, guide, fresh, Trace_ELBO())
    show("going on again", [svi.step(data) for _ in range(5)])
    show_store("again")

    store = pyro.get_param_store()
    store.set_state(state)
    show_store("set_state")
    print("constraints:", " ".join(f"{name} {type(c).__name__}" for name, c in sorted(state["constraints"].items())))
    show("unconstrained", pyro.param("ratio").unconstrained().detach())
    print("contains:", "shape" in store, "other" in store)
    with store.scope() as scoped:
        pyro.param("shape", torch.tensor(1.0))
        print("inside:", " ".join(store.keys()))
    print("outside:", " ".join(sorted(store.keys())), "| scoped:", type(scoped).__name__)

    # Module state.
    pyro.clear_param_store()
    pyro.set_rng_seed(7)
    x = torch.linspace(-1.0, 1.0, 12)
    y = 1.4 * x + 0.1 * torch.randn(12)
    line = Line()
    auto = AutoNormal(line)
    svi = SVI(line, auto, pyro.optim.Adam({"lr": 0.02}), Trace_ELBO())
    show("line losses", [svi.step(x, y) for _ in range(60)][::20])
    print("state:", " ".join(line.state_dict()))
    print("guide state:", " ".join(auto.state_dict()))
    buffer = io.BytesIO()
    torch.save(line.state_dict(), buffer)
    buffer.seek(0)
    other = Line()
    other.load_state_dict(torch.load(buffer))
    show("other scale", other.scale.detach())
    show("other offset", other.offset.detach())
    twin = pickle.loads(pickle.dumps(line))
    show("pickled scale", twin.scale.detach())
    clone = copy.deepcopy(line)
    pyro.set_rng_seed(8)
    first = clone(x)
    pyro.set_rng_seed(8)
    show("same draws", (first - line(x)).abs().max())
    show_store("line")
    print("names:", " ".join(sorted(pyro.get_param_store().keys())))


if __name__ == "__main__":
    main()
