"""The table of shapes, byte for byte as Pyro prints it.

The expected tables were printed by pyro-ppl 1.9.2: `print(repr(poutine.trace(model).get_trace().format_shapes()))`.
"""

from __future__ import annotations

import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene import poutine


def small():
    p = pyroxene.param("p", torch.tensor(1.0), constraint=dist.constraints.positive)
    x = pyroxene.sample("x", dist.Normal(0.0, p))
    with pyroxene.plate("pl", 3):
        y = pyroxene.sample("y", dist.Normal(x, 1.0))
        pyroxene.sample("z", dist.Normal(y, 1.0), obs=torch.arange(3.0))


def rich():
    pyroxene.param("weights", torch.zeros(3, 4))
    pyroxene.param("s", torch.tensor(1.0))
    with pyroxene.plate("data", 12, 5, dim=-2):
        pyroxene.sample("mvn", dist.MultivariateNormal(torch.zeros(3), torch.eye(3)))
        for i in pyroxene.plate("seq", 2):
            pyroxene.sample(f"k{i}", dist.Normal(0.0, 1.0).expand([5, 1, 4, 2]).to_event(2))
    pyroxene.deterministic("det", torch.ones(2))
    pyroxene.factor("fac", torch.tensor(1.0))


SMALL = """\
Trace Shapes:|
 Param Sites:|
            p|
Sample Sites:|
       x dist   |
        value   |
     log_prob   |
      pl dist   |
        value 3 |
     log_prob   |
       y dist 3 |
        value 3 |
     log_prob 3 |
       z dist 3 |
        value 3 |
     log_prob 3 |""".replace(":|", ":    ").replace("p|", "p    ")

RICH = """\
Trace Shapes:          #
 Param Sites:          #
      weights   3 4    #
            s          #
Sample Sites:          #
    data dist     |    #
        value   5 |    #
     mvn dist 5 1 | 3  #
        value 5 1 | 3  #
     seq dist     |    #
        value   2 |    #
      k0 dist 5 1 | 4 2#
        value 5 1 | 4 2#
      k1 dist 5 1 | 4 2#
        value 5 1 | 4 2#
     det dist     | 2  #
        value     | 2  #
     fac dist     | 0  #
        value     | 0  """.replace("#", "")


def table(model):
    return poutine.trace(model).get_trace().format_shapes()


def test_sites_with_event_shapes():
    assert table(rich) == RICH


def test_log_densities_are_shown_where_they_were_computed():
    trace = poutine.trace(small).get_trace()
    assert trace.format_shapes() == "\n".join(line for line in SMALL.splitlines() if "log_prob" not in line)
    trace.compute_log_prob()
    assert trace.format_shapes() == SMALL
    assert trace.format_shapes(title="Hello") == SMALL.replace("Trace Shapes:", "        Hello")
    assert trace.format_shapes(last_site="y") == SMALL[: SMALL.index("\n       z dist")]
    assert trace.format_shapes(last_site="p") == "Trace Shapes:\n Param Sites:\n            p\nSample Sites:"


def test_little_to_show():
    assert poutine.Trace().format_shapes() == "Trace Shapes:"
    assert table(lambda: None) == "Trace Shapes:\n Param Sites:\nSample Sites:"
    x = "Trace Shapes:  \n Param Sites:  \nSample Sites:  \n       x dist |\n        value |"
    assert table(lambda: pyroxene.sample("x", dist.Normal(0.0, 1.0))) == x
    param = "Trace Shapes:    \n Param Sites:    \n            x 2 3\nSample Sites:    "
    assert table(lambda: pyroxene.param("x", torch.zeros(2, 3))) == param


def test_functions_and_values_that_are_no_tensors():
    shown = table(lambda: (pyroxene.sample("f", lambda: 3.0), pyroxene.sample("g", lambda: torch.zeros(2, 3))))
    assert shown.splitlines()[3:] == [
        "       f dist     |", "        value     |", "       g dist     |", "        value 2 3 |",
    ]  # fmt: skip
