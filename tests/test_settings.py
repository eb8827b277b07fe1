"""Switches: their values, checks, contexts, and those that a program registers."""

from __future__ import annotations

import sys
import types

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene import settings
from pyroxene.errors import UsageError

ALIASES = {
    "binomial_approx_log_prob_tol",
    "binomial_approx_sample_thresh",
    "cholesky_relative_jitter",
    "module_local_params",
    "validate_distributions_pyro",
    "validate_distributions_torch",
    "validate_infer",
    "validate_poutine",
}


def test_get_names_every_switch():
    assert set(settings.get()) >= ALIASES
    assert settings.get("module_local_params") is False


def test_set_checks_name_and_value():
    with pytest.raises(UsageError, match="unknown setting 'nonsense'"):
        settings.set(nonsense=1)
    with pytest.raises(TypeError, match="True or False"):
        settings.set(validate_infer=1)
    with pytest.raises(ValueError, match=">= 0"):
        settings.set(cholesky_relative_jitter=-1.0)
    assert settings.get("validate_infer") is True


def test_context_restores_even_after_an_error():
    with pytest.raises(RuntimeError), settings.context(module_local_params=True, validate_poutine=False):
        assert settings.get("module_local_params") and not settings.get("validate_poutine")
        raise RuntimeError
    assert not settings.get("module_local_params") and settings.get("validate_poutine")


def test_torch_s_validation_is_torch_s_own_attribute():
    with settings.context(validate_distributions_torch=False):
        assert torch.distributions.Distribution._validate_args is False
        dist.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="scale"):
        dist.Normal(0.0, -1.0)


def test_register_makes_an_attribute_a_switch(monkeypatch):
    module = types.ModuleType("a_users_module")
    module.LIMIT = 3
    monkeypatch.setitem(sys.modules, "a_users_module", module)

    @settings.register("users_limit", "a_users_module", "LIMIT")
    def check(value):
        assert value > 0

    settings.register("users_other", "a_users_module", "LIMIT", validator=check)
    try:
        assert settings.get("users_limit") == 3
        with settings.context(users_limit=5):
            assert module.LIMIT == 5 and settings.get("users_other") == 5
        assert module.LIMIT == 3
        with pytest.raises(AssertionError):
            settings.set(users_limit=-1)
    finally:
        del settings._SWITCHES["users_limit"], settings._SWITCHES["users_other"]


def test_enable_validation_switches_all():
    names = sorted(name for name in ALIASES if name.startswith("validate"))
    pyro.enable_validation(False)
    try:
        assert [settings.get(name) for name in names] == [False] * 4
        assert not pyro.infer.is_validation_enabled() and not pyro.poutine.is_validation_enabled()
        assert not dist.is_validation_enabled()
        with pyro.validation_enabled():
            assert [settings.get(name) for name in names] == [True] * 4
        assert not settings.get("validate_infer")
    finally:
        pyro.enable_validation(True)
    assert [settings.get(name) for name in names] == [True] * 4


@pytest.mark.parametrize(
    ("enable", "alias"),
    [(pyro.infer.enable_validation, "validate_infer"), (pyro.poutine.enable_validation, "validate_poutine")],
)
def test_a_room_s_own_switch(enable, alias):
    enable(False)
    try:
        assert settings.get(alias) is False
    finally:
        enable(True)
    assert settings.get(alias) is True


def test_without_validation_shapes_are_not_checked():
    def model():
        pyro.sample("y", dist.Normal(torch.zeros(3), 1.0), obs=torch.zeros(3))

    with pytest.raises(ValueError, match="invalid log_prob shape"):
        pyro.infer.Trace_ELBO().loss(model, lambda: None)
    with pyro.infer.util.validation_enabled(False):
        assert pyro.infer.Trace_ELBO().loss(model, lambda: None) > 0
