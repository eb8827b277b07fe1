"""Distribution functions in logs, right far in the tails, and their inverses; this file hands names on."""

from __future__ import annotations

from pyroxene.distributions.tails import circular as _circular
from pyroxene.distributions.tails import composed as _composed
from pyroxene.distributions.tails import continuous as _continuous
from pyroxene.distributions.tails import discrete as _discrete
from pyroxene.distributions.tails import gamma_beta as _gamma_beta
from pyroxene.distributions.tails.incomplete import log_betainc, log_gammainc, log_gammaincc
from pyroxene.distributions.tails.interval import log_between
from pyroxene.distributions.tails.logarithms import (
    log1mexp,
    log1mexpexp,
    log_difference,
    log_ndtr,
    log_relative_expm1,
)
from pyroxene.distributions.tails.registry import (
    Tails,
    cdf,
    complete,
    entropy,
    icdf,
    inverse,
    log_cdf,
    log_survival,
    mode,
    register_tails,
    tails_of,
    unchecked,
)

__all__ = [
    "Tails",
    "cdf",
    "complete",
    "entropy",
    "icdf",
    "inverse",
    "log1mexp",
    "log1mexpexp",
    "log_between",
    "log_betainc",
    "log_cdf",
    "log_difference",
    "log_gammainc",
    "log_gammaincc",
    "log_ndtr",
    "log_relative_expm1",
    "log_survival",
    "mode",
    "register_tails",
    "tails_of",
    "unchecked",
]

del _circular, _composed, _continuous, _discrete, _gamma_beta
