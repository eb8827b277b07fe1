"""Samples of correlation matrices: every correlation has the same Beta marginal, wherever it stands."""

from __future__ import annotations

import pytest
import scipy.stats as st
import torch

from pyroxene.distributions.torch.onion import sample_correlation_cholesky


@pytest.mark.parametrize(("dim", "concentration"), [(2, 0.5), (3, 1.0), (5, 2.0)])
def test_marginals_of_all_correlations(dim, concentration):
    torch.manual_seed(0)
    eta = torch.tensor(concentration, dtype=torch.float64)
    factor = sample_correlation_cholesky(dim, eta, torch.Size((20000,)))
    matrix = factor @ factor.mT
    torch.testing.assert_close(matrix.diagonal(dim1=-2, dim2=-1), torch.ones(20000, dim, dtype=torch.float64))
    b = concentration + (dim - 2) / 2
    for row in range(dim):
        for column in range(row):
            # at most 10 tests of a rate of 1e-7 each; 20 000 samples tell a variance of 1/8 from 1/6 with certainty
            assert st.kstest((matrix[:, row, column].numpy() + 1) / 2, st.beta(b, b).cdf).pvalue > 1e-7


def test_determinant_has_its_moment():
    torch.manual_seed(1)
    dim, eta = 4, 1.5
    factor = sample_correlation_cholesky(dim, torch.tensor(eta, dtype=torch.float64), torch.Size((40000,)))
    det = factor.diagonal(dim1=-2, dim2=-1).square().prod(-1)
    # det is a product of independent Beta(eta + (dim - 1 - i) / 2, i / 2) variables
    expected = 1.0
    for i in range(1, dim):
        later = eta + (dim - 1 - i) / 2
        expected *= later / (later + i / 2)
    assert abs(det.mean() - expected) < 5.2 * det.std() / 200  # 5.2 standard errors: 2e-7


def test_shape_dtype_and_tiny_concentration():
    eta = torch.full((2, 1), 1e-3)
    factor = sample_correlation_cholesky(6, eta, torch.Size((3, 2, 4)))
    assert factor.shape == (3, 2, 4, 6, 6) and factor.dtype == torch.float32
    assert (factor.diagonal(dim1=-2, dim2=-1) > 0).all() and factor.isfinite().all()
