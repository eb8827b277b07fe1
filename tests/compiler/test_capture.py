"""What the recorder sees, refuses and widens."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from pyroxene.compiler.capture import capture
from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.graph import verify
from pyroxene.compiler.passes.layout import by_columns
from pyroxene.compiler.precision import double_precision
from pyroxene.compiler.recorder import UnsupportedOperation
from pyroxene.errors import CaptureError

torch.set_num_threads(1)
Z = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64)
OLDER = torch.zeros(3, dtype=torch.float64)


def branch(z):
    if z[0] > 0:
        return z.sum()
    return z.prod()


def host_number(z):
    return z.sum() * float(z[0])


def host_list(z):
    return z.sum() * sum(z.tolist())


def host_array(z):
    return z.sum() * z.numpy().sum()


def comparison(z):
    return z.sum() if torch.equal(z, z) else z.prod()


def boolean_index(z):
    return z[z > 0].sum()


def boolean_assignment(z):
    out = z.clone()
    out[z > 0] = z[:2]
    return out.sum()


def selection(z):
    return z.masked_select(z > 0).sum()


def scattering(z):
    return z.masked_scatter(z > 0, z.exp()).sum()


def write_older(z):
    OLDER[0] = z[0]
    return OLDER.sum()


def write_older_with_data(z):
    OLDER.add_(1)
    return z.sum()


def random_numbers(z):
    return (z * torch.rand(3)).sum()


def random_of_latent(z):
    return torch.bernoulli(torch.sigmoid(z)).sum() + z.sum()


@pytest.mark.parametrize(
    "function",
    [
        branch,
        host_number,
        host_list,
        host_array,
        comparison,
        boolean_index,
        boolean_assignment,
        selection,
        scattering,
        write_older,
        write_older_with_data,
        random_numbers,
        random_of_latent,
    ],
)
def test_refusals_name_the_line(function):
    with pytest.raises(CaptureError) as caught:
        capture(function, [Z])
    first = function.__code__.co_firstlineno
    assert caught.value.source is not None
    assert caught.value.source[0] == __file__
    assert first < caught.value.source[1] <= first + 4
    assert caught.value.hint
    assert OLDER.tolist() == [0.0, 0.0, 0.0]


def test_an_operation_without_a_rule_is_named():
    with pytest.raises(UnsupportedOperation, match="linalg_svd"):
        capture(lambda z: torch.linalg.svd(z[:, None])[1].sum(), [Z])


def test_a_mask_of_bytes_is_no_index():
    with pytest.raises(UnsupportedOperation, match="mask of bytes"), pytest.warns(UserWarning, match="uint8"):
        capture(lambda z: z[torch.tensor([1, 0, 1], dtype=torch.uint8)].sum(), [Z])


def test_too_long_a_loop_names_scan(monkeypatch):
    monkeypatch.setattr("pyroxene.compiler.recorder.LIMIT", 50)

    def function(z):
        total = z.sum()
        for _ in range(60):
            total = total * 1.01
        return total

    with pytest.raises(CaptureError) as caught:
        capture(function, [Z])
    assert "scan" in str(caught.value)


def test_data_may_be_read_on_the_host():
    data = torch.tensor([1.0, 2.0, 3.0])

    def function(z):
        factor = data.sum().item() if bool((data > 0).all()) else 0.0
        return z.sum() * factor + (z * data[data > 1.5].sum()).sum()

    (value,) = evaluate(capture(function, [Z]), [Z])
    assert value.item() == pytest.approx(Z.sum().item() * 11.0, rel=1e-12)


def test_float32_is_widened_where_it_enters():
    data = torch.tensor([0.1, 0.2, 0.3])  # float32: the user's numbers are these
    literal = 0.1

    def function(z):
        fresh = torch.tensor([0.1, 0.2, 0.3]) + torch.full((3,), 0.1)
        return (z * data).sum() + (z * fresh).sum() + torch.finfo(z.dtype).eps * (z * literal).sum()

    (value,) = evaluate(capture(function, [Z]), [Z])
    expected = (Z * data.double()).sum() + (Z * (torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64) + 0.1)).sum()
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected.item(), rel=1e-14)
    with double_precision():
        assert function(Z).item() == pytest.approx(expected.item(), rel=1e-14)
        assert torch.zeros(2).dtype == torch.float64
        assert torch.arange(3).dtype == torch.int64
        assert data.to(torch.float32).dtype == torch.float64
        assert (data * 2).float().dtype == torch.float64
    assert torch.zeros(2).dtype == torch.float32


def test_data_keeps_out_of_the_graph():
    """Two data sets of one shape give one graph: values are slots, only what the program writes itself is literal."""

    def density(data):
        return capture(lambda z: (((z.sum() - data) / data.std()) ** 2 * 0.5).sum(), [Z])

    first, second = density(torch.randn(20)), density(torch.randn(20) + 3)
    assert first.describe() == second.describe()
    assert "0.5" in first.describe()


def test_unrolled_data_is_one_slot():
    data = torch.randn(50)

    def function(z):
        total = z[0]
        for t in range(50):
            total = total * z[1] + data[t]
        return total

    graph = capture(function, [Z])
    assert len(graph.data) == 1
    assert graph.nodes()[0].op in ("input", "data")


def test_graphs_have_no_duplicates_and_verify():
    def function(z):
        return (z.exp() * 1.0 + 0.0).sum() + z.exp().sum() - (-z.exp()).sum()

    graph = gradient_graph(function, Z)
    verify(graph)
    assert [node.op for node in graph.nodes()].count("exp") == 1
    assert "add" not in [node.op for node in graph.nodes() if node.shape == (3,)]


def test_recording_does_not_import_dynamo():
    """`_should_skip_dynamo` is private to torch; without it the first recording would cost 1 to 3 seconds."""
    program = (
        "import sys, torch\n"
        "from pyroxene.compiler.capture import capture\n"
        "capture(lambda z: z.exp().sum(), [torch.zeros(2, dtype=torch.float64)])\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_verify_refuses_a_graph_that_means_nothing():
    graph = capture(lambda z: z.exp().sum(), [Z])
    graph.outputs[0].inputs[0].shape = (4,)
    with pytest.raises(AssertionError):
        verify(graph)


def test_workspace_is_used_again():
    """A chain of matrix products: only what is still read has room of its own."""
    size = 30

    def function(z):
        matrix = z.reshape(size, size)
        for _ in range(8):
            matrix = torch.tanh(matrix @ matrix * 0.1)
        return matrix.sum()

    z = torch.randn(size * size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    graph = gradient_graph(function, z)
    kept = sum(node.size for node in graph.nodes() if node.op == "matmul")
    native = NativeFunction(graph)
    assert native.program.workspace < 0.6 * kept
    value, gradient = native.value_and_grad(z)
    leaf = z.clone().requires_grad_()
    expected = function(leaf)
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    assert torch.allclose(gradient, leaf.grad, rtol=1e-10, atol=1e-12)


def test_tall_tables_are_stored_by_columns():
    table = torch.randn(300, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def function(z):
        return (
            torch.sigmoid(table @ z).log().sum() + (table[:, 3] * z[0]).sum() + (table[5:9, ::2].sum(0) * z[:5]).sum()
        )

    z = torch.linspace(-1, 1, 10, dtype=torch.float64)
    graph = gradient_graph(function, z)
    turned = by_columns(graph)
    assert [tuple(slot.shape) for slot in turned.data] != [tuple(slot.shape) for slot in graph.data]
    assert (10, 300) in [tuple(slot.shape) for slot in turned.data]
    for one, other in zip(evaluate(turned, [z]), evaluate(graph, [z])):
        assert torch.allclose(one, other, rtol=1e-13)
    assert table.shape == (300, 10) and table.stride() == (10, 1)


def test_wide_and_huge_tables_stay():
    def graph_of(rows, columns):
        table = torch.ones(rows, columns).cumsum(0)
        z = torch.zeros(columns, dtype=torch.float64)
        return gradient_graph(lambda z: (table @ z).sin().sum(), z)

    for shape in ((20, 30), (60_000, 10)):
        graph = graph_of(*shape)
        assert by_columns(graph) is graph
