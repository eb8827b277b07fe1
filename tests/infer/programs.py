"""What estimators, SVI and Predictive do to small programs, as numbers: under pyro-ppl it makes expected.json.

python programs.py pyro > expected.json
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings

import torch

DATA = torch.tensor([0.5, -1.0, 2.0, 0.7, -0.2, 1.4])
PARTICLES = ({}, {"num_particles": 3}, {"num_particles": 3, "vectorize_particles": True})


def describe(value):
    """Return nested numbers, rounded to six digits; shapes stay visible."""
    if isinstance(value, torch.Tensor):
        return [list(value.shape), [float(f"{number:.6g}") for number in value.detach().double().flatten().tolist()]]
    if isinstance(value, dict):
        return {str(name): describe(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(each) for each in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


class Programs:
    """The programs, written for any package of Pyro's interface; `cases` names all, `run` runs one."""

    def __init__(self, name):
        load = importlib.import_module
        self.pyro, self.dist, self.poutine = load(name), load(f"{name}.distributions"), load(f"{name}.poutine")
        self.infer, self.optim, self.nn = load(f"{name}.infer"), load(f"{name}.optim"), load(f"{name}.nn")
        self.fakes = load(f"{name}.distributions.testing.fakes")
        self.positive = self.dist.constraints.positive
        self.unit = self.dist.constraints.unit_interval

    # models and guides, each a pair -----------------------------------------------------------------------------------

    def conjugate(self, kind=None):
        """A normal mean with a normal prior."""
        pyro, dist = self.pyro, self.dist

        def model():
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            with pyro.plate("data", len(DATA)):
                pyro.sample("y", dist.Normal(x, 1.0), obs=DATA)

        def guide():
            loc = pyro.param("loc", torch.tensor(0.3))
            scale = pyro.param("scale", torch.tensor(0.7), constraint=self.positive)
            pyro.sample("x", (kind or dist.Normal)(loc, scale))

        return model, guide

    def score(self):
        """The same without reparametrised draws."""
        return self.conjugate(self.fakes.NonreparameterizedNormal)

    def chain(self, options=None):
        """Three Bernoullis, of which the third depends on none."""
        pyro, dist, infer = self.pyro, self.dist, {"baseline": dict(options)} if options else {}

        def model():
            a = pyro.sample("a", dist.Bernoulli(0.3))
            b = pyro.sample("b", dist.Bernoulli(0.2 + 0.6 * a))
            c = pyro.sample("c", dist.Bernoulli(0.5))
            pyro.sample("y", dist.Normal(b, 1.0), obs=torch.tensor(0.8))
            pyro.sample("w", dist.Normal(c, 1.0), obs=torch.tensor(0.1))

        def guide():
            q = pyro.param("q", torch.tensor([0.4, 0.3, 0.6]), constraint=self.unit)
            a = pyro.sample("a", dist.Bernoulli(q[0]), infer=infer)
            pyro.sample("b", dist.Bernoulli(torch.where(a > 0, q[1], 1 - q[1])))
            pyro.sample("c", dist.Bernoulli(q[2]), infer=infer)

        return model, guide

    def average(self):
        """A decaying average as baseline."""
        return self.chain({"use_decaying_avg_baseline": True, "baseline_beta": 0.8})

    def fixed(self):
        """A number as baseline."""
        return self.chain({"baseline_value": torch.tensor(-0.7)})

    def average_and_fixed(self):
        """A number added to a decaying average."""
        return self.chain({"use_decaying_avg_baseline": True, "baseline_value": torch.tensor(-0.7)})

    def network(self):
        """A network as baseline, trained beside the guide."""
        pyro, dist = self.pyro, self.dist
        net = torch.nn.Linear(1, 1)
        with torch.no_grad():
            net.weight.fill_(0.5)
            net.bias.fill_(-0.1)
        model, _ = self.chain()

        def guide():
            pyro.module("net", net)
            q = pyro.param("q", torch.tensor([0.4, 0.3, 0.6]), constraint=self.unit)
            options = {"nn_baseline": lambda x: net(x).squeeze(-1), "nn_baseline_input": torch.tensor([0.4])}
            a = pyro.sample("a", dist.Bernoulli(q[0]), infer={"baseline": options})
            pyro.sample("b", dist.Bernoulli(torch.where(a > 0, q[1], 1 - q[1])))
            pyro.sample("c", dist.Bernoulli(q[2]))

        return model, guide

    def plated(self):
        """Poisson counts in nested plates, by score functions; one global latent value."""
        pyro, dist = self.pyro, self.dist
        counts = torch.tensor([[1.0, 3.0, 2.0], [0.0, 4.0, 6.0]])

        def model():
            g = pyro.sample("g", dist.Bernoulli(0.4))
            with pyro.plate("rows", 2, dim=-2):
                r = pyro.sample("r", dist.Poisson(2.0 + g))
                with pyro.plate("columns", 3, dim=-1):
                    z = pyro.sample("z", dist.Normal(r, 1.0))
                    pyro.sample("y", dist.Normal(z, 1.0), obs=counts)

        def guide():
            pyro.sample("g", dist.Bernoulli(pyro.param("pg", torch.tensor(0.5), constraint=self.unit)))
            with pyro.plate("rows", 2, dim=-2):
                r = pyro.sample("r", dist.Poisson(pyro.param("rate", torch.tensor([[1.5], [3.0]]), self.positive)))
                with pyro.plate("columns", 3, dim=-1):
                    pyro.sample("z", dist.Normal(r + pyro.param("shift", torch.zeros(3)), 0.8))

        return model, guide

    def plated_average(self):
        """A decaying average for each element of a plate."""
        pyro, dist = self.pyro, self.dist
        model, _ = self.plated()
        infer = {"baseline": {"use_decaying_avg_baseline": True}}

        def guide():
            pyro.sample("g", dist.Bernoulli(pyro.param("pg", torch.tensor(0.5), constraint=self.unit)))
            with pyro.plate("rows", 2, dim=-2):
                rate = pyro.param("rate", torch.tensor([[1.5], [3.0]]), self.positive)
                r = pyro.sample("r", dist.Poisson(rate), infer=infer)
                with pyro.plate("columns", 3, dim=-1):
                    pyro.sample("z", dist.Normal(r + pyro.param("shift", torch.zeros(3)), 0.8))

        return model, guide

    def loops(self):
        """Sequential plates, one inside another."""
        pyro, dist = self.pyro, self.dist

        def model():
            for i in pyro.plate("outer", 2):
                a = pyro.sample(f"a{i}", dist.Bernoulli(0.4))
                for j in pyro.plate(f"inner{i}", 2):
                    pyro.sample(f"y{i}{j}", dist.Normal(a, 1.0), obs=DATA[2 * i + j])

        def guide():
            p = pyro.param("p", torch.tensor([0.3, 0.6]), constraint=self.unit)
            for i in pyro.plate("outer", 2):
                pyro.sample(f"a{i}", dist.Bernoulli(p[i]))

        return model, guide

    def subsampled(self, by_score=False):
        """A minibatch of local values, drawn by the guide first."""
        pyro, dist = self.pyro, self.dist
        kind = self.fakes.NonreparameterizedNormal if by_score else dist.Normal

        def model():
            m = pyro.sample("m", dist.Normal(0.0, 1.0))
            with pyro.plate("p", len(DATA), subsample_size=2) as index:
                z = pyro.sample("z", dist.Normal(m, 1.0))
                pyro.sample("y", dist.Normal(z, 1.0), obs=DATA[index])

        def guide():
            pyro.sample("m", kind(pyro.param("m_loc", torch.tensor(0.1)), 0.5))
            locs = pyro.param("locs", 0.1 * DATA)
            with pyro.plate("p", len(DATA), subsample_size=2) as index:
                pyro.sample("z", kind(locs[index], 0.9))

        return model, guide

    def subsampled_score(self):
        """The same by score functions."""
        return self.subsampled(by_score=True)

    def subsampled_model(self):
        """A plate that only the model has."""
        pyro, dist = self.pyro, self.dist

        def model():
            m = pyro.sample("m", dist.Normal(0.0, 1.0))
            with pyro.plate("p", len(DATA), subsample_size=2) as index:
                pyro.sample("y", dist.Normal(m, 1.0), obs=DATA[index])

        def guide():
            pyro.sample("m", dist.Normal(pyro.param("m_loc", torch.tensor(0.1)), 0.5))

        return model, guide

    def weighed(self):
        """Masks and scales, by reparametrisation and by score functions."""
        pyro, dist, poutine = self.pyro, self.dist, self.poutine
        keep = torch.tensor([True, False, True])

        def half(loc, kind, obs):
            with pyro.plate("p", 3), poutine.mask(mask=keep), poutine.scale(scale=2.5):
                z = pyro.sample("z", dist.Normal(loc, 1.0))
                n = pyro.sample("n", kind)
                if obs:
                    pyro.sample("y", dist.Normal(z + n, 1.0), obs=DATA[:3])

        def model():
            half(torch.zeros(()), dist.Poisson(1.0), True)

        def guide():
            half(pyro.param("loc", torch.zeros(3)), dist.Poisson(pyro.param("r", torch.ones(3), self.positive)), False)

        return model, guide

    def unmasked(self):
        """A mask that is False hides a whole site."""
        pyro, dist, poutine = self.pyro, self.dist, self.poutine

        def model():
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            with poutine.mask(mask=False):
                pyro.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(9.0))

        def guide():
            pyro.sample("x", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 1.0))

        return model, guide

    def auxiliary(self):
        """A site that only the guide has, and a Delta."""
        pyro, dist = self.pyro, self.dist

        def model():
            x = pyro.sample("x", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            s = pyro.sample("s", dist.LogNormal(0.0, 1.0))
            pyro.sample("y", dist.Normal(x.sum(-1), s), obs=torch.tensor(0.5))

        def guide():
            loc = pyro.param("loc", torch.tensor([0.2, 0.4]))
            u = pyro.sample("u", dist.Normal(loc, 0.5).to_event(1), infer={"is_auxiliary": True})
            pyro.sample("x", dist.Delta(2 * u, log_density=-torch.tensor(4.0).log(), event_dim=1))
            pyro.sample("s", dist.Delta(pyro.param("s_loc", torch.tensor(1.2), self.positive)))

        return model, guide

    def divergences(self):
        """Families with and without a known divergence, in a plate whose distributions are not expanded."""
        pyro, dist = self.pyro, self.dist

        def model():
            with pyro.plate("p", 2):
                g = pyro.sample("g", dist.Gamma(2.0, 2.0))
                w = pyro.sample("w", dist.Dirichlet(torch.ones(3)))
                t = pyro.sample("t", dist.StudentT(4.0, 0.0, 1.0))
                pyro.sample("y", dist.Normal(g * w[..., 0] + t, 1.0), obs=DATA[:2])

        def guide():
            a = pyro.param("a", torch.tensor(1.5), self.positive)
            with pyro.plate("p", 2):
                pyro.sample("g", dist.Gamma(a, torch.tensor(1.5)))
                pyro.sample("w", dist.Dirichlet(pyro.param("c", 2 * torch.ones(2, 3), self.positive)))
                pyro.sample("t", dist.Normal(pyro.param("t_loc", torch.tensor(0.1)), 1.0))

        return model, guide

    def likelihood(self):
        """Parameters alone; the guide is empty."""
        pyro, dist = self.pyro, self.dist

        def model():
            m = pyro.param("m", torch.zeros(()))
            s = pyro.param("s", torch.ones(()), constraint=self.positive)
            with pyro.plate("p", len(DATA)):
                pyro.sample("y", dist.Normal(m, s), obs=DATA)

        return model, lambda: None

    def factors(self):
        """Factors in model and guide."""
        pyro, dist = self.pyro, self.dist

        def model():
            x = pyro.sample("x", dist.Normal(0.0, 1.0))
            pyro.factor("f", -((x - 1) ** 2))

        def guide():
            loc = pyro.param("loc", torch.tensor(0.3))
            pyro.sample("x", dist.Normal(loc, 1.0))
            pyro.factor("g", -0.1 * loc**2, has_rsample=True)

        return model, guide

    def flow(self):
        """Discrete values through indexing, where, and control flow."""
        pyro, dist = self.pyro, self.dist

        def model():
            k = pyro.sample("k", dist.Categorical(torch.tensor([0.2, 0.5, 0.3])))
            b = pyro.sample("b", dist.Bernoulli(0.4))
            means = torch.tensor([-1.0, 0.5, 2.0])
            pyro.sample("y1", dist.Normal(means[k], 1.0), obs=torch.tensor(0.7))
            pyro.sample("y2", dist.Normal(torch.where(b > 0, means[0], means[2]), 1.0), obs=torch.tensor(0.1))
            pyro.sample("y3", dist.Normal(0.5, 1.0), obs=torch.tensor(0.0))

        def guide():
            logits = pyro.param("logits", torch.tensor([0.1, 0.2, -0.3]))
            k = pyro.sample("k", dist.Categorical(logits=logits))
            p = pyro.param("p", torch.tensor([0.3, 0.4, 0.5]), constraint=self.unit)
            pyro.sample("b", dist.Bernoulli(p[k]))

        return model, guide

    def discrete_batches(self):
        """A mixed chain with a plate of discrete values inside a subsample and vector events."""
        pyro, dist = self.pyro, self.dist

        def model():
            w = pyro.sample("w", dist.Dirichlet(torch.ones(2)))
            with pyro.plate("p", 6, subsample_size=3) as index:
                k = pyro.sample("k", dist.Categorical(w))
                pyro.sample("y", dist.Normal(k.float(), 1.0), obs=DATA[index])

        def guide():
            pyro.sample("w", dist.Dirichlet(pyro.param("c", torch.tensor([2.0, 3.0]), self.positive)))
            logits = pyro.param("logits", torch.stack([DATA, -DATA], -1))
            with pyro.plate("p", 6, subsample_size=3) as index:
                pyro.sample("k", dist.Categorical(logits=logits[index]))

        return model, guide

    ANY = "conjugate unmasked auxiliary divergences likelihood factors subsampled subsampled_model".split()
    SCORE = "score chain plated loops subsampled_score weighed flow discrete_batches".split()
    BASELINES = "average fixed average_and_fixed network plated_average".split()

    # what is done to them ---------------------------------------------------------------------------------------------

    def estimate(self, estimator, pair, options):
        """Losses by three ways, and gradients by two."""
        model, guide = getattr(self, pair)()
        elbo = getattr(self.infer, estimator)(**options)
        report = {"nesting": None}
        self.pyro.set_rng_seed(0)
        elbo.loss(model, guide)  # settles max_plate_nesting and makes the parameters
        self.pyro.set_rng_seed(1)
        report["loss"] = elbo.loss(model, guide)
        report["nesting"] = str(elbo.max_plate_nesting)
        store = self.pyro.get_param_store()
        leaves = dict(store.named_parameters())
        self.pyro.set_rng_seed(2)
        report["loss_and_grads"] = elbo.loss_and_grads(model, guide)
        report["grads"] = {name: leaf.grad for name, leaf in leaves.items() if leaf.grad is not None}
        leaves = dict(store.named_parameters())
        self.pyro.set_rng_seed(3)
        if not hasattr(elbo, "differentiable_loss"):  # Pyro's TraceGraph_ELBO
            return report
        loss = elbo.differentiable_loss(model, guide)
        report["differentiable_loss"] = loss
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        report["differentiated"] = {n: g for n, g in zip(leaves, found, strict=True) if g is not None}
        return report

    def train(self, estimator, pair, options, optimiser="Adam"):
        """Ten steps, and an evaluation."""
        model, guide = getattr(self, pair)()
        optim = getattr(self.optim, optimiser)({"lr": 0.05})
        svi = self.infer.SVI(model, guide, optim, getattr(self.infer, estimator)(**options))
        self.pyro.set_rng_seed(4)
        losses = [svi.step() for _ in range(10)]
        return {
            "losses": losses,
            "params": dict(self.pyro.get_param_store().items()),
            "evaluated": svi.evaluate_loss(),
        }

    # predictions ------------------------------------------------------------------------------------------------------

    def tree(self, obs=None):
        """A global value, a plate of local ones, observations and a function of them."""
        pyro, dist = self.pyro, self.dist
        a = pyro.sample("a", dist.Normal(0.0, 1.0))
        with pyro.plate("p", 4, dim=-1):
            z = pyro.sample("z", dist.Normal(a, 1.0))
            y = pyro.sample("y", dist.Normal(z, 1.0), obs=obs)
        pyro.deterministic("d", y.sum(-1))
        return y

    def tree_guide(self, obs=None):
        """A guide of its latent values, with an auxiliary one."""
        pyro, dist = self.pyro, self.dist
        u = pyro.sample("u", dist.Normal(1.0, 0.1), infer={"is_auxiliary": True})
        pyro.sample("a", dist.Delta(u))
        with pyro.plate("p", 4, dim=-1):
            pyro.sample("z", dist.Normal(pyro.param("loc", torch.ones(4)), 0.1))

    def tree_module(self):
        """The guide as a module with a parameter and a random attribute."""
        pyro, dist, nn = self.pyro, self.dist, self.nn

        class Guide(nn.PyroModule):
            def __init__(self):
                super().__init__()
                self.loc = nn.PyroParam(torch.ones(4))
                self.a = nn.PyroSample(dist.Normal(1.0, 0.1))

            def forward(self, obs=None):
                a = self.a
                with pyro.plate("p", 4, dim=-1):
                    pyro.sample("z", dist.Normal(self.loc + a, 0.1))

        return Guide()

    def grid(self):
        """Two plates, vector events in each, and outside; a deterministic vector."""
        pyro, dist = self.pyro, self.dist
        w = pyro.sample("w", dist.Dirichlet(torch.ones(3)))
        with pyro.plate("rows", 2, dim=-2):
            r = pyro.sample("r", dist.Normal(torch.zeros(3), 1.0).to_event(1))
            with pyro.plate("columns", 5, dim=-1):
                x = pyro.sample("x", dist.Normal((r * w).sum(-1), 1.0))
                pyro.sample("k", dist.Categorical(w))
                pyro.deterministic("v", torch.stack([x, -x], -1), event_dim=1)
        with pyro.plate("columns_alone", 5, dim=-1):
            pyro.sample("c", dist.Poisson(2.0))
        return x

    def minibatch(self):
        """A subsampled plate, and one that loops."""
        pyro, dist = self.pyro, self.dist
        m = pyro.sample("m", dist.Normal(0.0, 1.0))
        with pyro.plate("p", 6, subsample_size=3) as index:
            y = pyro.sample("y", dist.Normal(m + DATA[index], 0.1))
        for i in pyro.plate("loop", 2):
            pyro.sample(f"l{i}", dist.Normal(m, 1.0))
        return y

    def bare(self, n=2):
        """No plate; a result that is no tensor."""
        pyro, dist = self.pyro, self.dist
        x = pyro.sample("x", dist.Normal(0.0, 1.0))
        pyro.sample("v", dist.MultivariateNormal(torch.zeros(n), torch.eye(n)))
        return {"x": x}

    def predict(self, model, given=None, args=(), **options):
        """One call of Predictive."""
        guide = options.pop("guide", None)
        predictive = self.infer.Predictive(getattr(self, model), given, guide=guide, **options)
        self.pyro.set_rng_seed(5)
        return {"first": predictive(*args), "call": predictive.call(*args)}

    def vectorised(self, model, given=None, **options):
        """Shapes and values of a vectorised trace."""
        predictive = self.infer.Predictive(getattr(self, model), given, **options)
        self.pyro.set_rng_seed(5)
        trace = predictive.get_vectorized_trace()
        return {name: site["value"] for name, site in trace.nodes.items() if site["type"] == "sample"}

    def predictions(self):
        """Yield (name, function) of Predictive's forms."""
        five, data = torch.arange(5.0), torch.ones(4)
        z = torch.arange(20.0).reshape(5, 4)
        forms = {
            "prior": lambda **o: self.predict("tree", num_samples=5, **o),
            "prior of sites": lambda **o: self.predict("tree", num_samples=5, return_sites=["z", "_RETURN"], **o),
            "draws": lambda **o: self.predict("tree", {"a": five}, **o),
            "draws kept aligned": lambda **o: self.predict("tree", {"a": five[:, None], "z": z}, **o),
            "draws and observations": lambda **o: self.predict("tree", {"a": five}, (data,), **o),
            "draws of sites": lambda **o: self.predict("tree", {"a": five}, return_sites=("a", "d", "_RETURN"), **o),
            "all sites": lambda **o: self.predict("tree", {"a": five}, return_sites=None, **o),
            "one draw": lambda **o: self.predict("tree", {"a": five[:1]}, **o),
            "guide": lambda **o: self.predict("tree", guide=self.tree_guide, num_samples=3, **o),
            "guide, some sites": lambda **o: self.predict(
                "tree", guide=self.tree_guide, num_samples=3, return_sites=("y", "z"), **o
            ),
            "guide, observed": lambda **o: self.predict(
                "tree", None, (data,), guide=self.tree_guide, num_samples=3, **o
            ),
            "guide as module": lambda **o: self.predict("tree", guide=self.tree_module(), num_samples=3, **o),
            "grid": lambda **o: self.predict("grid", num_samples=2, **o),
            "grid result": lambda **o: self.predict("grid", num_samples=2, return_sites=["_RETURN", "v", "c"], **o),
            "grid draws": lambda **o: self.predict("grid", {"w": torch.full((2, 1, 1, 3), 1 / 3)}, **o),
            "grid draws, flat": lambda **o: self.predict("grid", {"w": torch.full((2, 3), 1 / 3)}, **o),
            "minibatch": lambda **o: self.predict("minibatch", num_samples=3, **o),
            "minibatch draws": lambda **o: self.predict("minibatch", {"m": five}, **o),
            "bare": lambda **o: self.predict("bare", num_samples=3, **o),
            "bare with argument": lambda **o: self.predict("bare", None, (3,), num_samples=3, **o),
        }
        for name, form in forms.items():
            yield f"Predictive, {name}", form
            yield f"Predictive, {name}, parallel", lambda form=form: form(parallel=True)
        yield "Predictive, bare result", lambda: self.predict("bare", num_samples=2, return_sites=["_RETURN", "x"])
        yield "Predictive, trace, tree", lambda: self.vectorised("tree", {"a": five})
        yield "Predictive, trace, grid", lambda: self.vectorised("grid", num_samples=4)
        yield "Predictive, trace, guide", lambda: self.vectorised("tree", guide=self.tree_guide, num_samples=4)

    def cases(self):
        """Yield (name, function without arguments)."""
        for estimator in ("Trace_ELBO", "TraceMeanField_ELBO", "TraceGraph_ELBO"):
            pairs = self.ANY + (self.SCORE if estimator != "TraceMeanField_ELBO" else [])
            pairs = pairs + (self.BASELINES if estimator == "TraceGraph_ELBO" else [])
            for pair in pairs:
                for options in PARTICLES:
                    name = f"{estimator}, {pair}, {options.get('num_particles', 1)}"
                    name += " at once" if options.get("vectorize_particles") else ""
                    yield name, lambda e=estimator, p=pair, o=options: self.estimate(e, p, o)
                yield f"{estimator}, {pair}, train", lambda e=estimator, p=pair: self.train(e, p, {})
        for optimiser in ("SGD", "ClippedAdam", "RMSprop"):
            yield f"{optimiser}", lambda o=optimiser: self.train("Trace_ELBO", "divergences", {}, o)
        yield from self.predictions()

    def run(self, function):
        """Run one case from a clean slate; an error is its class."""
        self.pyro.clear_param_store()
        self.pyro.set_rng_seed(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return describe(function())
        except (ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            return f"{type(error).__name__}: {str(error)[:150]}"


def main():
    """Print what every program gives, by case."""
    programs = Programs(sys.argv[1])
    if hasattr(programs.pyro, "enable_validation"):
        programs.pyro.enable_validation(True)
    rows = [f"{json.dumps(name)}: {json.dumps(programs.run(f))}" for name, f in programs.cases()]
    print("{\n" + ",\n".join(rows) + "\n}")


if __name__ == "__main__":
    main()
