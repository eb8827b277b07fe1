"""Messages: what a statement and the handlers tell each other; every key, who writes it and who reads it.

A message is a plain dict, so that handlers written for Pyro run unchanged. A site of a finished trace is the same dict.

| key | written by | read by |
|---|---|---|
| type | the statement: "sample", "param", "subsample", "barrier", "inspect", a user's own | `Messenger`, traces |
| name | the statement; handlers that rename | every handler |
| fn | the statement; `lift`, `reparam`, plates (expansion) | the default action: `fn(*args, **kwargs)` |
| args, kwargs | the statement | the default action; log densities |
| value | the statement (`obs`), `condition`, `replay`, ...; the default action | the statement returns it |
| is_observed | the statement, `condition`, `uncondition` | inference: data or latent |
| infer | the statement and `infer_config`: see `InferDict` | inference |
| scale, mask | `scale`, `mask`, subsampled plates | log densities |
| cond_indep_stack | plates, outermost first; a tuple of `CondIndepStackFrame` | log densities, shape checks |
| done | whoever gave `value` for good | the default action then does nothing |
| stop | `block` | `apply_stack`: outer handlers do not see the message |
| continuation | `escape`, `queue` | `apply_stack` calls it last |
| _intervener | `do` | `do`: tells when a site is intervened on twice |
| source | `sample` and `param`: the user's (file, line, function) | error messages |
| log_prob, log_prob_sum, unscaled_log_prob, score_parts, packed | `Trace` | ELBOs |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from pyroxene.errors import Source

__all__ = ["CondIndepStackFrame", "InferDict", "Message"]


class CondIndepStackFrame(NamedTuple):
    """One plate that a site stands in.

    `dim` is the batch dimension counted from the right, None for a sequential plate; `size` the (sub)sample's size;
    `counter` the current index of a sequential plate, 0 otherwise; `full_size` the population's size.
    """

    name: str
    dim: int | None
    size: int
    counter: int
    full_size: int | None = None

    @property
    def vectorized(self) -> bool:
        """Whether the plate is a batch dimension rather than a loop."""
        return self.dim is not None

    def _key(self) -> tuple[str, int | None, int | None]:
        return self.name, self.dim, self.size if isinstance(self.size, int) else None

    def __eq__(self, other: object) -> bool:
        """Compare by name, dim, size and counter; sizes may be tensors while a model is traced."""
        return isinstance(other, CondIndepStackFrame) and (self._key(), self.counter) == (other._key(), other.counter)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self._key(), self.counter))


class InferDict(TypedDict, total=False):
    """What a site tells inference; every key is optional.

    Enumeration: enumerate, expand, num_samples, tmc, _enumerate_dim, _enumerate_symbol, _markov_depth, _markov_scope,
    _dim_to_id, _dim_to_symbol. Conditioning and lifting: is_observed, was_observed, obs, prior. is_auxiliary: a guide's
    site that the model does not have. baseline: control variates of TraceGraph_ELBO. _deterministic: a recorded value
    without density. _do_not_trace: `trace` leaves the site out.
    """

    enumerate: str
    expand: bool
    is_auxiliary: bool
    is_observed: bool
    num_samples: int
    obs: Any
    prior: Any
    tmc: str
    was_observed: bool
    baseline: dict[str, Any]
    _deterministic: bool
    _do_not_trace: bool
    _enumerate_dim: int
    _enumerate_symbol: str
    _dim_to_id: dict[int, int]
    _dim_to_symbol: dict[int, str]
    _markov_depth: int
    _markov_scope: Any


class Message(TypedDict, total=False):
    """A message; see the table at the head of this file."""

    type: str
    name: Any
    fn: Any
    is_observed: bool
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: Any
    infer: Any
    scale: Any
    mask: Any
    cond_indep_stack: tuple[CondIndepStackFrame, ...]
    done: bool
    stop: bool
    continuation: Callable[[Any], None] | None
    _intervener: int
    source: Source | None
    log_prob: Any
    log_prob_sum: Any
    unscaled_log_prob: Any
    score_parts: Any
    packed: dict[str, Any]
