"""One contract for all normalising flows, plain and conditional: a line for each."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import log_density
from pyroxene.distributions import transforms as T
from pyroxene.distributions.conditional import ConditionalTransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.distributions.transforms.utils import clamp_preserve_gradients
from pyroxene.infer import SVI, Trace_ELBO
from pyroxene.nn import DenseNN

N = 4
IMAGE = (3, 2, 2)
VECTOR = (N,)
NUMBER = ()  # a transform of each entry; the last dimension of values still has N of them

# name: (make, event shape)
FLOWS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "affine_autoregressive": (lambda: T.affine_autoregressive(N, [8]), VECTOR),
    "affine_autoregressive_stable": (lambda: T.affine_autoregressive(N, stable=True, sigmoid_bias=1.0), VECTOR),
    "affine_autoregressive_clipped": (
        lambda: T.affine_autoregressive(N, log_scale_min_clip=-0.1, log_scale_max_clip=0.1),
        VECTOR,
    ),
    "affine_coupling": (lambda: T.affine_coupling(N), VECTOR),
    "affine_coupling_split": (lambda: T.affine_coupling(N, [8], split_dim=1), VECTOR),
    "affine_coupling_image": (lambda: T.affine_coupling(IMAGE, [8], dim=-3), IMAGE),
    "batchnorm": (lambda: T.batchnorm(N).eval(), NUMBER),
    "block_tanh": (lambda: T.block_autoregressive(N, hidden_factors=[3, 2], residual="normal"), VECTOR),
    "block_sigmoid": (
        lambda: T.block_autoregressive(N, hidden_factors=[3], activation="sigmoid", residual="gated"),
        VECTOR,
    ),
    "block_elu": (lambda: T.block_autoregressive(N, hidden_factors=[3], activation="ELU"), VECTOR),
    "block_leaky": (lambda: T.block_autoregressive(N, hidden_factors=[2, 2], activation="LeakyReLU"), VECTOR),
    "generalized_channel_permute": (lambda: T.generalized_channel_permute(channels=3), IMAGE),
    "generalized_channel_permute_order": (lambda: T.generalized_channel_permute(permutation=[2, 0, 1]), IMAGE),
    "householder": (lambda: T.householder(N), VECTOR),
    "householder_1": (lambda: T.householder(N, 1), VECTOR),
    "matrix_exponential": (lambda: T.matrix_exponential(N), VECTOR),
    "matrix_exponential_weight": (lambda: T.matrix_exponential(N, normalization="weight", bound=0.5), VECTOR),
    "matrix_exponential_spectral": (lambda: T.matrix_exponential(N, normalization="spectral", bound=0.5), VECTOR),
    "neural_sigmoid": (lambda: T.neural_autoregressive(N, width=5), VECTOR),
    "neural_tanh": (lambda: T.neural_autoregressive(N, activation="tanh", width=5), VECTOR),
    "neural_elu": (lambda: T.neural_autoregressive(N, activation="ELU", width=5), VECTOR),
    "neural_leaky": (lambda: T.neural_autoregressive(N, activation="LeakyReLU", width=5), VECTOR),
    "planar": (lambda: T.planar(N), VECTOR),
    "polynomial": (lambda: T.polynomial(N, [8]), VECTOR),
    "radial": (lambda: T.radial(N), VECTOR),
    "spline_linear": (lambda: T.spline(N), NUMBER),
    "spline_quadratic": (lambda: T.spline(N, count_bins=5, bound=2.0, order="quadratic"), NUMBER),
    "spline_one_bin": (lambda: T.spline(N, count_bins=1), NUMBER),
    "spline_autoregressive": (lambda: T.spline_autoregressive(N, [8], count_bins=4), VECTOR),
    "spline_autoregressive_quadratic": (
        lambda: T.spline_autoregressive(N, [8], count_bins=4, order="quadratic"),
        VECTOR,
    ),
    "spline_coupling": (lambda: T.spline_coupling(N, hidden_dims=[8], count_bins=4), VECTOR),
    "spline_coupling_identity": (
        lambda: T.SplineCoupling(N, 1, DenseNN(1, [8], [12, 12, 9]), 4, order="quadratic", identity=True),
        VECTOR,
    ),
    "sylvester": (lambda: T.sylvester(N), VECTOR),
}

CONDITIONAL: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "affine_autoregressive": (lambda: T.conditional_affine_autoregressive(N, 2, [8], stable=True), VECTOR),
    "affine_coupling": (lambda: T.conditional_affine_coupling(N, 2, [8]), VECTOR),
    "affine_coupling_image": (lambda: T.conditional_affine_coupling(IMAGE, 2, [8], dim=-3), IMAGE),
    "generalized_channel_permute": (lambda: T.conditional_generalized_channel_permute(2, 3, [8]), IMAGE),
    "householder": (lambda: T.conditional_householder(N, 2, [8]), VECTOR),
    "householder_3": (lambda: T.conditional_householder(N, 2, [8], count_transforms=3), VECTOR),
    "matrix_exponential": (lambda: T.conditional_matrix_exponential(N, 2, [8]), VECTOR),
    "matrix_exponential_bound": (
        lambda: T.conditional_matrix_exponential(N, 2, [8], normalization="spectral", bound=1.0),
        VECTOR,
    ),
    "neural": (lambda: T.conditional_neural_autoregressive(N, 2, [8], width=5), VECTOR),
    "planar": (lambda: T.conditional_planar(N, 2, [8]), VECTOR),
    "radial": (lambda: T.conditional_radial(N, 2, [8]), VECTOR),
    "spline_linear": (lambda: T.conditional_spline(N, 2, [8], count_bins=4), NUMBER),
    "spline_quadratic": (lambda: T.conditional_spline(N, 2, [8], count_bins=4, order="quadratic"), NUMBER),
    "spline_autoregressive": (lambda: T.conditional_spline_autoregressive(N, 2, [8], count_bins=4), VECTOR),
    "spline_autoregressive_quadratic": (
        lambda: T.conditional_spline_autoregressive(N, 2, [8], count_bins=4, order="quadratic"),
        VECTOR,
    ),
}

flows = pytest.mark.parametrize("name", FLOWS)
conditionals = pytest.mark.parametrize("name", CONDITIONAL)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def disturb(module: torch.nn.Module, size: float = 0.3) -> None:
    """Move parameters and moving averages from where they start."""
    for parameter in module.parameters():
        parameter.data += size * torch.randn_like(parameter)
    for name, buffer in module.named_buffers():
        if name.startswith("moving"):
            buffer += torch.rand_like(buffer)


def make(name: str, dtype: torch.dtype = torch.float64) -> Any:
    torch.manual_seed(3)
    flow = FLOWS[name][0]().to(dtype)
    disturb(flow)
    return flow


def make_conditional(name: str, dtype: torch.dtype = torch.float64) -> Any:
    torch.manual_seed(3)
    flow = CONDITIONAL[name][0]().to(dtype)
    disturb(flow, 0.1)
    return flow


def values(event_shape: tuple[int, ...], batch: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> Tensor:
    torch.manual_seed(7)
    return 1.5 * torch.randn(batch + (event_shape or VECTOR), dtype=dtype)


def batch_of(x: Tensor, event_shape: tuple[int, ...]) -> torch.Size:
    return x.shape[: x.dim() - len(event_shape)]


def fresh(x: Tensor) -> Tensor:
    """Return an equal tensor, detached, that no cache knows."""
    return x.detach().clone()


@flows
@dtypes
def test_round_trip(name: str, dtype: torch.dtype) -> None:
    flow, x = make(name, dtype), values(FLOWS[name][1], (3,), dtype)
    y = flow(x)
    back = flow.inv(fresh(y))
    assert y.dtype == back.dtype == dtype and y.shape == back.shape == x.shape
    tolerance = 1e-9 if dtype == torch.float64 else 2e-3
    if dtype == torch.float64 or name != "block_leaky":  # whose slopes are near 1e-5: y has not the digits of x
        torch.testing.assert_close(back, x, rtol=tolerance, atol=tolerance)
    tolerance = 1e-11 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(flow(fresh(back)), y, rtol=tolerance, atol=tolerance)


@flows
def test_log_jacobian_is_that_of_autograd(name: str) -> None:
    flow, x = make(name), values(FLOWS[name][1])
    y = flow(x)
    ours = flow.log_abs_det_jacobian(x, y).sum()
    jacobian = torch.func.jacrev(lambda x: flow.with_cache(0)(x.reshape(y.shape)).reshape(-1))(x.reshape(-1))
    if getattr(flow, "autoregressive", False):  # triangular in an order: no elimination, which would lose digits
        expected = jacobian.diagonal().log().sum()
    else:
        expected = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-9)
    # the same without a cache, and after an inverse
    other = fresh(x)
    torch.testing.assert_close(flow.log_abs_det_jacobian(other, fresh(y)).sum(), ours)
    z = fresh(y)
    back = flow.inv(z)
    torch.testing.assert_close(flow.log_abs_det_jacobian(back, z).sum(), ours, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(flow.inv.log_abs_det_jacobian(z, back).sum(), -ours, rtol=1e-8, atol=1e-8)


@flows
@pytest.mark.parametrize("batch", [(), (2,), (3, 2)], ids=str)
def test_shapes(name: str, batch: tuple[int, ...]) -> None:
    flow, event_shape = make(name), FLOWS[name][1]
    x = values(event_shape, batch)
    y = flow(x)
    assert flow.event_dim == flow.domain.event_dim == flow.codomain.event_dim == len(event_shape)
    assert flow.bijective and y.shape == x.shape == flow.forward_shape(x.shape) == flow.inverse_shape(x.shape)
    assert flow.codomain.check(y).all()
    expected = batch_of(x, event_shape)
    assert flow.log_abs_det_jacobian(x, y).shape == expected
    assert flow.log_abs_det_jacobian(fresh(x), fresh(y)).shape == expected
    back = flow.inv(fresh(y))
    assert flow.log_abs_det_jacobian(back, y).shape == expected


@flows
def test_a_batch_is_each_of_its_members(name: str) -> None:
    flow = make(name)
    x = values(FLOWS[name][1], (3,))
    y = flow(x)
    torch.testing.assert_close(torch.stack([flow(one) for one in x]), y)
    torch.testing.assert_close(torch.vmap(flow.with_cache(0))(x), y)
    log_jacobian = flow.log_abs_det_jacobian(x, y)
    torch.testing.assert_close(torch.vmap(flow.with_cache(0).log_abs_det_jacobian)(x, y), log_jacobian)


@flows
def test_gradients_through_the_inverse(name: str) -> None:
    """The implicit function theorem: the inverse's derivatives in y and in the parameters."""
    flow, x = make(name), values(FLOWS[name][1])
    y = flow(x).detach().requires_grad_()
    back = flow.with_cache(0).inv(y)
    weight = torch.randn_like(back)
    parameters = [y, *flow.parameters()]
    got = torch.autograd.grad((weight * back).sum(), parameters, allow_unused=True)
    # dx = J⁻¹ (dy - ∂f/∂θ dθ)
    point = back.detach().requires_grad_()
    forward = flow.with_cache(0)(point)
    rows = [torch.autograd.grad(entry, point, retain_graph=True)[0].reshape(-1) for entry in forward.reshape(-1)]
    pulled = torch.linalg.solve(torch.stack(rows).mT, weight.reshape(-1)).reshape(y.shape)
    torch.testing.assert_close(got[0], pulled, rtol=1e-6, atol=1e-6)
    expected = torch.autograd.grad((-pulled * forward).sum(), parameters[1:], allow_unused=True)
    for one, other in zip(got[1:], expected):
        one, other = (torch.zeros(()) if part is None else part for part in (one, other))
        torch.testing.assert_close(one.sum().double(), other.sum().double(), rtol=1e-6, atol=1e-6)


@flows
def test_gradients_are_finite_at_the_centre(name: str) -> None:
    flow, event_shape = make(name), FLOWS[name][1]
    x = torch.zeros(event_shape or VECTOR, dtype=torch.float64, requires_grad=True)
    y = flow(x)
    total = y.sum() + flow.log_abs_det_jacobian(x, y).sum()
    for part in torch.autograd.grad(total, [x, *flow.parameters()], allow_unused=True):
        assert part is None or part.isfinite().all()


@flows
def test_cache(name: str) -> None:
    flow = make(name).with_cache(1)
    x = values(FLOWS[name][1])
    y = flow(x)
    assert flow(x) is y and flow.inv(y) is x
    if name != "batchnorm":
        assert flow.log_abs_det_jacobian(x, y) is flow.log_abs_det_jacobian(x, y)
    flow.clear_cache()
    assert flow(x) is not y
    bare = flow.with_cache(0)
    assert bare is not flow and bare.with_cache(0) is bare and flow.with_cache(1) is flow
    assert bare(x) is not bare(x)
    assert {id(p) for p in bare.parameters()} == {id(p) for p in flow.parameters()}


@flows
def test_copies_and_pickles(name: str) -> None:
    flow = make(name)
    x = values(FLOWS[name][1]).requires_grad_()
    y = flow(x)  # the cache holds a graph now
    flow.log_abs_det_jacobian(x, y)
    for other in (copy.deepcopy(flow), pickle.loads(pickle.dumps(flow))):
        assert type(other) is type(flow)
        torch.testing.assert_close(other(fresh(x)), y)
        assert {id(p) for p in other.parameters()}.isdisjoint({id(p) for p in flow.parameters()})
    other = FLOWS[name][0]().double()
    other.load_state_dict(flow.state_dict())
    torch.testing.assert_close(other.eval()(fresh(x)), y)


@pytest.mark.parametrize("name", [name for name in FLOWS if getattr(FLOWS[name][0](), "autoregressive", False)])
def test_autoregressive_jacobians_are_triangular_in_the_order(name: str) -> None:
    flow = make(name)
    x = values(VECTOR)
    jacobian = torch.func.jacrev(flow.with_cache(0))(x)
    order = flow.arn.permutation if hasattr(flow, "arn") else torch.arange(N)
    ordered = jacobian[order][:, order]
    assert torch.equal(ordered.triu(1), torch.zeros_like(ordered))
    assert (ordered.diagonal() > 0).all()
    assert (ordered.tril(-1) != 0).any()


@conditionals
@pytest.mark.parametrize("batch", [(), (3,)], ids=str)
def test_conditional_flows(name: str, batch: tuple[int, ...]) -> None:
    conditional, event_shape = make_conditional(name), CONDITIONAL[name][1]
    assert isinstance(conditional, ConditionalTransformModule)
    assert conditional.domain.event_dim == conditional.codomain.event_dim == len(event_shape)
    context = torch.randn(batch + (2,), dtype=torch.float64)
    flow = conditional.condition(context)
    x = values(event_shape, (3,))
    y = flow(x)
    log_jacobian = flow.log_abs_det_jacobian(x, y)
    assert isinstance(flow, Flow) and flow.event_dim == len(event_shape)
    assert y.shape == x.shape and log_jacobian.shape == batch_of(x, event_shape)
    torch.testing.assert_close(flow.inv(fresh(y)), x, rtol=1e-7, atol=1e-7)
    # each context alone
    for i in range(3):
        alone = conditional.condition(context[i] if batch else context)
        torch.testing.assert_close(alone(x[i]), y[i])
        torch.testing.assert_close(alone.log_abs_det_jacobian(x[i], alone(x[i])), log_jacobian[i])
        jacobian = torch.func.jacrev(lambda x, alone=alone: alone.with_cache(0)(x))(x[i])
        jacobian = jacobian.reshape(x[i].numel(), x[i].numel())
        torch.testing.assert_close(torch.linalg.slogdet(jacobian).logabsdet, log_jacobian[i].sum())
    inverse = conditional.inv
    assert inverse.inv is conditional
    torch.testing.assert_close(inverse.condition(context)(fresh(y)), x, rtol=1e-7, atol=1e-7)
    clone = pickle.loads(pickle.dumps(conditional))
    torch.testing.assert_close(clone.condition(context)(x), y)


@conditionals
def test_gradients_reach_the_network_of_the_context(name: str) -> None:
    conditional, event_shape = make_conditional(name), CONDITIONAL[name][1]
    context = torch.randn(2, dtype=torch.float64, requires_grad=True)
    flow = conditional.condition(context)
    x = values(event_shape, (3,))
    y = flow(x)
    total = y.square().sum() + flow.log_abs_det_jacobian(x, y).sum()
    gradients = torch.autograd.grad(total, [context, *conditional.parameters()])
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0].abs().sum() > 0


UNCONDITIONAL: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[Any], Any]]] = {
    # a plain flow, a conditional one, the constant output of its network
    "planar": (lambda: T.planar(N), T.ConditionalPlanar, lambda flow: (flow.bias, flow.u, flow.w)),
    "radial": (lambda: T.radial(N), T.ConditionalRadial, lambda flow: (flow.x0, flow.alpha_prime, flow.beta_prime)),
    "householder": (
        lambda: T.householder(N, 2),
        lambda network: T.ConditionalHouseholder(N, network, 2),
        lambda flow: tuple(flow.u_unnormed),
    ),
    "matrix_exponential": (
        lambda: T.matrix_exponential(N),
        lambda network: T.ConditionalMatrixExponential(N, network),
        lambda flow: flow.weights.reshape(-1),
    ),
    "generalized_channel_permute": (
        lambda: T.GeneralizedChannelPermute(3, [2, 0, 1]),
        lambda network: T.ConditionalGeneralizedChannelPermute(network, 3, [2, 0, 1]),
        lambda flow: flow.LU.reshape(-1),
    ),
    "spline": (
        lambda: T.spline(N, count_bins=5),
        lambda network: T.ConditionalSpline(network, N, 5),
        lambda flow: tuple(
            part.reshape(-1)
            for part in (
                flow.unnormalized_widths,
                flow.unnormalized_heights,
                flow.unnormalized_derivatives,
                flow.unnormalized_lambdas,
            )
        ),
    ),
}


@pytest.mark.parametrize("name", UNCONDITIONAL)
def test_conditional_forms_are_the_plain_ones_at_a_fixed_context(name: str) -> None:
    build, build_conditional, parameters = UNCONDITIONAL[name]
    flow = build()
    disturb(flow)
    output = parameters(flow)
    conditioned = build_conditional(lambda context: output).condition(torch.ones(2))
    x = values(IMAGE if flow.event_dim == 3 else VECTOR, (3,), torch.float32)
    y, other = flow(x), conditioned(x)
    torch.testing.assert_close(other, y)
    torch.testing.assert_close(conditioned.log_abs_det_jacobian(x, other), flow.log_abs_det_jacobian(x, y))


TRAINED = {
    "affine_autoregressive": lambda: T.affine_autoregressive(2, [16]).inv,
    "affine_coupling": lambda: T.affine_coupling(2, [16]),
    "block": lambda: T.block_autoregressive(2, residual="gated").inv,
    "neural": lambda: T.neural_autoregressive(2, [16], width=8).inv,
    "planar_inverse": lambda: T.planar(2).inv,
    "planar": lambda: T.planar(2),
    "polynomial": lambda: T.polynomial(2, [8]).inv,
    "radial": lambda: T.radial(2),
    "spline": lambda: T.spline(2),
    "spline_coupling": lambda: T.spline_coupling(2, hidden_dims=[16], count_bins=4),
    "spline_autoregressive": lambda: T.spline_autoregressive(2, [16], count_bins=4).inv,
    "sylvester": lambda: T.sylvester(2),
    "batchnorm": lambda: T.ComposeTransformModule([T.affine_coupling(2, [8]), T.batchnorm(2)]),
    "matrix_exponential": lambda: T.matrix_exponential(2),
    "iterated": lambda: T.iterated(2, T.affine_coupling, 2, [8]),
}


@pytest.mark.parametrize("name", TRAINED)
def test_maximum_likelihood_improves(name: str) -> None:
    torch.manual_seed(1)
    along = torch.randn(100)
    data = torch.stack([1 + 0.5 * along, along.square() - 0.5 + 0.3 * torch.randn(100)], -1)
    transform = TRAINED[name]()
    module = transform if isinstance(transform, torch.nn.Module) else transform.inv
    base = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)
    flow = dist.TransformedDistribution(base, [transform])
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-2)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = -flow.log_prob(data).mean()
        loss.backward()
        optimizer.step()
        flow.clear_cache()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.01
    assert flow.sample((3,)).shape == (3, 2)


def test_a_flow_normalises() -> None:
    """The density of a flow in two dimensions sums to one on a grid."""
    torch.manual_seed(2)
    base = dist.Normal(torch.zeros(2, dtype=torch.float64), 1.0).to_event(1)
    chain = [flow(2).double() for flow in (T.affine_coupling, T.planar, T.radial, T.sylvester)]
    axis = torch.linspace(-12, 12, 161, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = dist.TransformedDistribution(base, chain).log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert abs(total.item() - 1) < 1e-4  # the networks have corners, on which the grid loses its order


def test_a_flow_is_a_guide_and_its_parameters_are_registered() -> None:
    pyroxene.set_rng_seed(0)
    flow = T.affine_autoregressive(2, [8])
    target = dist.MultivariateNormal(torch.tensor([1.0, -1.0]), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))

    def model() -> None:
        pyroxene.sample("z", target)

    def guide() -> None:
        pyroxene.module("flow", flow)
        base = dist.Normal(torch.zeros(2), torch.ones(2))
        pyroxene.sample("z", dist.TransformedDistribution(base, [flow]))

    svi = SVI(model, guide, pyroxene.optim.Adam({"lr": 0.02}), Trace_ELBO(num_particles=10, vectorize_particles=False))
    losses = [svi.step() for _ in range(60)]
    names = set(pyroxene.get_param_store().keys())
    assert names == {f"flow$$${name}" for name, _ in flow.named_parameters()}
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 0.3


def test_batchnorm_in_training_normalises_and_moves_its_averages() -> None:
    transform = T.BatchNorm(2, momentum=0.25)
    y = torch.tensor([3.0, -1.0]) + torch.tensor([2.0, 0.5]) * torch.randn(50, 2)
    x = transform.inv(y)
    torch.testing.assert_close(x.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.std(0), torch.ones(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(transform.moving_mean, 0.25 * y.mean(0))
    torch.testing.assert_close(transform.moving_variance, 0.75 + 0.25 * y.var(0))
    expected = (0.5 * (y.var(0) + 1e-5).log()).expand(50, 2)
    torch.testing.assert_close(transform.log_abs_det_jacobian(x, y), expected, atol=1e-5, rtol=0)
    moved = transform.moving_mean.clone()
    transform.eval()
    torch.testing.assert_close(transform(transform.inv(fresh(y))), y)
    assert torch.equal(transform.moving_mean, moved)
    with pytest.raises(ValueError, match="needs a batch in training mode"):
        transform.train().inv(torch.zeros(2))


def test_clipped_log_scales_keep_their_gradients() -> None:
    x = torch.tensor([-9.0, 0.5, 9.0], requires_grad=True)
    y = clamp_preserve_gradients(x, -1.0, 1.0)
    assert y.tolist() == [-1.0, 0.5, 1.0]
    assert torch.autograd.grad(y.sum(), x)[0].tolist() == [1.0, 1.0, 1.0]


def test_affine_coupling_leaves_the_first_part() -> None:
    flow = make("affine_coupling_image")
    x = values(IMAGE)
    y = flow(x)
    assert torch.equal(y[:1], x[:1]) and (y[1:] != x[1:]).all()


def test_splines_join_their_tails_smoothly() -> None:
    for name in ("spline_linear", "spline_quadratic"):
        flow = make(name)
        edge = torch.full((N,), flow.bound * (1 - 1e-9), dtype=torch.float64)
        for point in (edge, -edge):
            y = flow(point)
            torch.testing.assert_close(y, point, rtol=0, atol=1e-8)
            assert flow.log_abs_det_jacobian(point, y).abs().max() < 1e-6
        far = torch.full((N,), 2 * flow.bound, dtype=torch.float64)
        assert torch.equal(flow(far), far) and torch.equal(flow.inv(-far), -far)


def test_orthogonal_and_permuting_flows() -> None:
    x = values(VECTOR, (5,))
    y = make("householder")(x)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    image = values(IMAGE)
    plain = T.GeneralizedChannelPermute(3, [2, 0, 1]).double()
    plain.LU.data = torch.eye(3, dtype=torch.float64)
    assert torch.equal(plain(image), image[[2, 0, 1]])
    rotation = T.GeneralizedChannelPermute(5)
    matrix = rotation.permutation @ rotation.L @ rotation.U
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["weight", "spectral"])
def test_the_matrix_of_an_exponential_is_bounded(kind: str) -> None:
    flow = T.matrix_exponential(N, normalization=kind, bound=0.3)
    norm = torch.linalg.matrix_norm(flow._generator(), "fro" if kind == "weight" else 2)
    torch.testing.assert_close(norm, torch.tensor(0.3))
    flow.weights.data *= 0.01
    assert torch.equal(flow._generator(), flow.weights)


def test_the_inverse_outside_of_a_bounded_codomain_is_nan() -> None:
    flow = T.block_autoregressive(2).double()
    assert flow.inv(torch.full((2,), 1e3, dtype=torch.float64)).isnan().any()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "coupling_dim": (lambda: T.AffineCoupling(2, DenseNN(2, [4], [2, 2]), dim=0), "must be negative"),
    "coupling_factory_dim": (lambda: T.affine_coupling(4, dim=1), "must be negative"),
    "coupling_shape": (lambda: T.affine_coupling((3, 4, 4)), "must have same length as event_dim 1"),
    "conditional_coupling_shape": (lambda: T.conditional_affine_coupling((3, 4), 2, dim=-3), "same length"),
    "householder": (lambda: T.Householder(4, 0), "less than 1"),
    "conditional_householder": (lambda: T.conditional_householder(4, 2, count_transforms=0), "less than 1"),
    "sylvester": (lambda: T.sylvester(4, 0), "less than 1"),
    "spline_order": (lambda: T.spline(4, order="cubic"), "'order' must be one of"),
    "spline_bins": (lambda: T.spline(4, count_bins=0), "count_bins"),
    "spline_bound": (lambda: T.spline(4, bound=-1.0), "bound > 0"),
    "spline_coupling_order": (lambda: T.spline_coupling(4, order="cubic"), "'order' must be one of"),
    "spline_autoregressive_order": (lambda: T.spline_autoregressive(4, order="cubic"), "'order' must be one of"),
    "conditional_spline_order": (lambda: T.conditional_spline(4, 2, order="cubic"), "'order' must be one of"),
    "block_activation": (lambda: T.block_autoregressive(4, activation="sine"), "Invalid activation"),
    "block_residual": (lambda: T.block_autoregressive(4, residual="much"), "Invalid value much"),
    "block_factors": (lambda: T.block_autoregressive(4, hidden_factors=[0]), "must all be >= 1"),
    "neural_activation": (lambda: T.neural_autoregressive(4, activation="sine"), "Invalid activation"),
    "exponential_normalization": (lambda: T.matrix_exponential(4, normalization="some"), "Unknown normalization"),
    "exponential_bound": (lambda: T.matrix_exponential(4, normalization="weight"), "needs a bound"),
    "exponential_iterations": (lambda: T.matrix_exponential(4, iterations=0), "positive integer"),
    "channels": (lambda: T.GeneralizedChannelPermute(channels=0), "channels"),
    "permutation_size": (lambda: T.GeneralizedChannelPermute(permutation=[0, 1]), "3 elements but 2 found"),
    "permutation_values": (lambda: T.GeneralizedChannelPermute(permutation=[0, 1, 1]), "is no permutation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    build, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("name", ["affine_coupling", "planar", "radial", "spline_quadratic"])
def test_latent_flows_run_natively(name: str) -> None:
    """The inverse and the log-Jacobian of a flow are recorded and compiled, implicit derivatives included."""
    flow, event_shape = make(name), FLOWS[name][1]
    flow.requires_grad_(False)

    def model() -> None:
        base = dist.Normal(torch.zeros(N, dtype=torch.float64), 1.0).to_event(len(event_shape))
        z = pyroxene.sample("z", dist.TransformedDistribution(base, [flow]).to_event(1 - len(event_shape)))
        pyroxene.sample("x", dist.Normal(z.sum(), 1.0), obs=torch.tensor(1.0))

    density = log_density(model)
    z = torch.linspace(-1, 1, N, dtype=torch.float64)
    native, eager = (density.compiled(engine).value_and_grad(z) for engine in ("native", "eager"))
    torch.testing.assert_close(native, eager, rtol=1e-10, atol=1e-10)
