from __future__ import annotations

import pytest
import torch

from pyroxene.ops import integrator
from pyroxene.ops.integrator import potential_grad, register_exception_handler, velocity_verlet


def spring(z):
    return 0.5 * (z["x"] ** 2).sum() + 2.0 * (z["y"] ** 2).sum()


Z = {"x": torch.tensor([1.0, 2.0], dtype=torch.float64), "y": torch.tensor(-0.5, dtype=torch.float64)}
R = {"x": torch.tensor([0.5, -0.5], dtype=torch.float64), "y": torch.tensor(0.3, dtype=torch.float64)}


def test_gradients_and_value():
    gradients, value = potential_grad(spring, Z)
    assert torch.equal(gradients["x"], Z["x"]) and torch.equal(gradients["y"], 4.0 * Z["y"])
    assert value == 3.0 and not value.requires_grad and not Z["x"].requires_grad


def test_steps_back_lead_back():
    there = velocity_verlet(Z, R, spring, lambda r: r, 0.1, 7)
    back = velocity_verlet(there[0], there[1], spring, lambda r: r, -0.1, 7, z_grads=there[2])
    for name in Z:
        assert torch.allclose(back[0][name], Z[name]) and torch.allclose(back[1][name], R[name])
    assert there[3] == spring(there[0])


def test_the_error_is_of_second_order():
    def error(steps):
        z, *_ = velocity_verlet(Z, R, spring, lambda r: r, 1.0 / steps, steps)
        x, p = Z["x"], R["x"]
        one = torch.ones(())
        return float((z["x"] - (x * one.cos() + p * one.sin())).norm())

    assert error(50) / error(100) == pytest.approx(4.0, rel=0.01)


def test_the_mass_scales_velocities():
    slow, *_ = velocity_verlet(Z, R, spring, lambda r: {name: 0.5 * p for name, p in r.items()}, 0.1)
    half = 0.05 * Z["x"]
    assert torch.allclose(slow["x"], Z["x"] + 0.1 * 0.5 * (R["x"] - half))


def test_a_failed_factorisation_is_a_point_without_density():
    gradients, value = potential_grad(lambda z: torch.linalg.cholesky(-torch.eye(2) * z["x"][0]).sum(), Z)
    assert value.isnan() and all((gradient == 0.0).all() for gradient in gradients.values())


def test_other_errors_come_through_until_they_are_handled(monkeypatch):
    monkeypatch.setattr(integrator, "_EXCEPTION_HANDLERS", dict(integrator._EXCEPTION_HANDLERS))

    def fails(z):
        raise ValueError("the pendulum broke")

    with pytest.raises(ValueError, match="pendulum"):
        potential_grad(fails, Z)
    register_exception_handler("pendulum", lambda error: "pendulum" in str(error))
    assert potential_grad(fails, Z)[1].isnan()
    with pytest.warns(RuntimeWarning, match="'pendulum' is replaced"):
        register_exception_handler("pendulum", lambda error: False)
    with pytest.raises(ValueError, match="pendulum"):
        potential_grad(fails, Z)
    register_exception_handler("pendulum", lambda error: True, warn_on_overwrite=False)
