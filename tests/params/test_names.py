"""Names of parameters in the store."""

from __future__ import annotations

from pyroxene.params import (
    module_from_param_with_module_name,
    normalize_param_name,
    param_with_module_name,
    user_param_name,
)


def test_names_of_module_parameters_and_back():
    name = param_with_module_name("net", "fc.weight")
    assert name == "net$$$fc.weight"
    assert module_from_param_with_module_name(name) == "net"
    assert user_param_name(name) == "fc.weight"
    assert normalize_param_name(name) == "net.fc.weight"


def test_names_without_a_module():
    assert module_from_param_with_module_name("loc") == user_param_name("loc") == normalize_param_name("loc") == "loc"
