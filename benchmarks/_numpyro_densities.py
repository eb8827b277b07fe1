"""NumPyro's side of distributions.py, in an interpreter that has it: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

jax.config.update("jax_enable_x64", True)
calls: dict[str, tuple] = {}


def prepare(name: str, parameters: dict[str, float], values: list[float], by_value: bool) -> float:
    """Compile log density with gradient, and return the log density summed."""

    def function(parameters, values):
        return getattr(dist, name)(**parameters).log_prob(values).sum()

    argnums = (0, 1) if by_value else 0
    compiled = jax.jit(jax.value_and_grad(function, argnums))
    given = {key: jnp.asarray(value) for key, value in parameters.items()}
    at = jnp.asarray(values) if by_value else jnp.asarray(values).astype(int)
    calls[name] = (compiled, (given, at))
    for _ in range(3):
        value = jax.block_until_ready(compiled(given, at))[0]
    return float(value)


def seconds(name: str, budget: float) -> float:
    compiled, arguments = calls[name]
    start, count = time.process_time(), 0
    while time.process_time() - start < budget or count < 2:
        jax.block_until_ready(compiled(*arguments))
        count += 1
    return (time.process_time() - start) / count


print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    action, *arguments = json.loads(line)
    try:
        answer = prepare(*arguments) if action == "prepare" else seconds(*arguments)
    except (AttributeError, TypeError, ValueError, NotImplementedError) as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer), flush=True)
