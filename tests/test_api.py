"""Pyro's interface: every name of tiers A and B in what stands, its parameters, and a test that uses it."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

WHOLE = re.compile(
    r"pyro(\.(poutine|params|nn|optim|settings|primitives|util|infer\.(svi|elbo|trace_elbo|trace_mean_field_elbo"
    r"|tracegraph_elbo|inspect|mcmc|autoguide\.(initialization|utils))|ops\.(stats|streaming|arrowhead))(\.\w+)*)?$"
)
DEEP = re.compile(r"pyro\.(poutine|infer\.mcmc|ops\.(stats|streaming|arrowhead))\b")  # their tier C is there as well
PARTLY = {  # modules that also hold names of later work
    "pyro.infer": "ELBO HMC JitTraceGraph_ELBO JitTraceMeanField_ELBO JitTrace_ELBO MCMC NUTS Predictive "
    "RandomWalkKernel SVI TraceGraph_ELBO TraceMeanField_ELBO Trace_ELBO enable_validation is_validation_enabled",
    "pyro.infer.autoguide": "AutoCallable AutoContinuous AutoDelta AutoDiagonalNormal AutoGuide AutoGuideList "
    "AutoLaplaceApproximation AutoLowRankMultivariateNormal AutoMultivariateNormal AutoNormal init_to_feasible "
    "init_to_generated init_to_mean init_to_median init_to_sample init_to_uniform init_to_value",
    "pyro.infer.enum": "get_importance_trace",
    "pyro.infer.predictive": "Predictive",
    "pyro.contrib.minipyro": "Adam JitTrace_ELBO Messenger PlateMessenger SVI Trace_ELBO apply_stack block elbo "
    "get_param_store param plate replay sample seed trace",
    "pyro.infer.util": "enable_validation is_validation_enabled validation_enabled",
}
LATER = {
    "random_module", "iarange", "irange", "collapse", "CollapseMessenger", "HorovodOptimizer",
    "TraceEinsumEvaluator", "TraceTreeEvaluator", "_MultiSampler", "_UnarySampler",
}  # fmt: skip


def rows():
    path = TESTS.parents[1] / "shared" / "api" / "pyro_api.json"
    if not path.is_file():
        return []
    found = []
    for module, names in json.loads(path.read_text()).items():
        for name, entry in names.items():
            wanted = WHOLE.fullmatch(module) and entry["tier"] in "AB"
            deep = DEEP.match(module) and entry["tier"] == "C"
            part = module in PARTLY and name in PARTLY[module].split()
            if (wanted or deep or part) and name not in LATER:
                found.append((module, name, tuple(entry.get("params", []))))
    return found


ROWS = rows()
needs_table = pytest.mark.skipif(not ROWS, reason="the table of Pyro's interface is not beside this clone")


@needs_table
@pytest.mark.parametrize(("module", "name", "params"), ROWS, ids=[f"{m}.{n}" for m, n, _ in ROWS])
def test_the_name_is_there_with_its_parameters(module, name, params):
    found = getattr(importlib.import_module("pyroxene" + module.removeprefix("pyro")), name)
    if not params:
        return
    have = inspect.signature(found).parameters
    lost = [p for p in (text.partition("=")[0].strip() for text in params) if p.isidentifier() and p not in have]
    assert lost == []


@pytest.fixture(scope="module")
def sources():
    return "\n".join(path.read_text(encoding="utf8") for path in TESTS.rglob("*.py") if path != Path(__file__))


@needs_table
@pytest.mark.parametrize("name", sorted({name for _, name, _ in ROWS}))
def test_some_test_uses_the_name(name, sources):
    assert re.search(rf"\b{re.escape(name)}\b", sources), f"no test mentions {name}"
