"""Nested plates, subsampling in model and guide, vectorised particles."""

import pyro
import pyro.distributions as dist
import pyro.poutine as poutine
import torch
from pyro.infer import SVI, Trace_ELBO
from torch.distributions import constraints

torch.set_num_threads(1)


def show(name, value):
    numbers = torch.as_tensor(value, dtype=torch.float64).reshape(-1).tolist()
    print(f"{name}:", " ".join(f"{number:.4g}" for number in numbers))


def model(data, rows=8, columns=3):
    """Row effects and column effects, each entry observed with noise; both plates may be subsampled."""
    centre = pyro.sample("centre", dist.Normal(0.0, 3.0))
    row_plate = pyro.plate("rows", data.shape[0], subsample_size=rows, dim=-1)
    column_plate = pyro.plate("columns", data.shape[1], subsample_size=columns, dim=-2)
    with row_plate:
        row = pyro.sample("row", dist.Normal(0.0, 1.0))
    with column_plate:
        column = pyro.sample("column", dist.Normal(0.0, 1.0))
    with row_plate as i, column_plate as j:
        batch = data[i][:, j].T
        pyro.sample("obs", dist.Normal(centre + row + column, 0.5), obs=batch)
    return batch


def guide(data, rows=8, columns=3):
    loc = pyro.param("centre_loc", torch.tensor(0.0))
    scale = pyro.param("centre_scale", torch.tensor(0.3), constraint=constraints.positive)
    pyro.sample("centre", dist.Normal(loc, scale))
    with pyro.plate("rows", data.shape[0], subsample_size=rows, dim=-1) as i:
        locs = pyro.param("row_loc", torch.zeros(data.shape[0]))
        scales = pyro.param("row_scale", torch.full((data.shape[0],), 0.3), constraint=constraints.positive)
        pyro.sample("row", dist.Normal(locs[i], scales[i]))
    with pyro.plate("columns", data.shape[1], subsample_size=columns, dim=-2):
        locs = pyro.param("column_loc", torch.zeros(data.shape[1], 1), event_dim=0)
        scales = pyro.param("column_scale", torch.full((data.shape[1], 1), 0.3), constraints.positive, event_dim=0)
        pyro.sample("column", dist.Normal(locs, scales))


def irregular(lengths):
    """A sequential plate over groups of unequal size."""
    total = torch.tensor(0.0)
    for group in pyro.plate("groups", len(lengths)):
        with pyro.plate(f"group_{group}", lengths[group]):
            total = total + pyro.sample(f"x_{group}", dist.Exponential(1.0 + group)).sum()
    return total


def main():
    pyro.set_rng_seed(3)
    truth = 1.5 + torch.randn(12, 1) + torch.randn(1, 5)
    data = truth + 0.5 * torch.randn(12, 5)

    trace = poutine.trace(model).get_trace(data)
    trace.compute_log_prob()
    show("indices", trace.nodes["rows"]["value"])
    show("scale of obs", trace.nodes["obs"]["scale"])
    show("log density", trace.log_prob_sum())
    print(trace.format_shapes())
    frames = trace.nodes["obs"]["cond_indep_stack"]
    print("plates of obs:", " ".join(f"{f.name}/{f.dim}/{f.size}" for f in sorted(frames, key=lambda f: f.name)))

    optimizer = pyro.optim.Adam({"lr": 0.03})
    svi = SVI(model, guide, optimizer, loss=Trace_ELBO())
    losses = [svi.step(data) for _ in range(200)]
    show("first losses", losses[:3])
    show("mean of last losses", sum(losses[-100:]) / 100)
    show("centre_loc", pyro.param("centre_loc").detach())
    show("row_loc", pyro.param("row_loc").detach())

    pyro.clear_param_store()
    particles = Trace_ELBO(num_particles=5, vectorize_particles=True, max_plate_nesting=2)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.03}), loss=particles)
    show("vectorised losses", [svi.step(data, rows=12, columns=5) for _ in range(3)])
    show("evaluated", svi.evaluate_loss(data, rows=12, columns=5))

    show("irregular", irregular([2, 4, 1]))
    with pyro.plate_stack("stack", (2, 3)):
        show("stack", pyro.sample("z", dist.Beta(2.0, 3.0)))
    with pyro.plate("batch", 6, subsample=torch.tensor([4, 0])):
        show("subsample", pyro.subsample(torch.arange(6.0), event_dim=0))


if __name__ == "__main__":
    main()
