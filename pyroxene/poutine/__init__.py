"""Effects: statements send messages, handlers answer them. Read message.py, runtime.py and messenger.py first."""

from __future__ import annotations

from pyroxene.poutine import handlers, runtime
from pyroxene.poutine.handlers import (
    block,
    broadcast,
    condition,
    do,
    enum,
    equalize,
    escape,
    infer_config,
    lift,
    markov,
    mask,
    queue,
    reparam,
    replay,
    scale,
    seed,
    substitute,
    trace,
    uncondition,
)
from pyroxene.poutine.messenger import Messenger, block_messengers, unwrap
from pyroxene.poutine.runtime import NonlocalExit, am_i_wrapped, apply_stack, effectful, get_mask, get_plates
from pyroxene.poutine.trace_struct import Trace
from pyroxene.poutine.util import enable_validation, is_validation_enabled

__all__ = [
    "Messenger",
    "NonlocalExit",
    "Trace",
    "am_i_wrapped",
    "apply_stack",
    "block",
    "block_messengers",
    "broadcast",
    "condition",
    "do",
    "effectful",
    "enable_validation",
    "enum",
    "equalize",
    "escape",
    "get_mask",
    "get_plates",
    "handlers",
    "infer_config",
    "is_validation_enabled",
    "lift",
    "markov",
    "mask",
    "queue",
    "reparam",
    "replay",
    "runtime",
    "scale",
    "seed",
    "substitute",
    "trace",
    "uncondition",
    "unwrap",
]
