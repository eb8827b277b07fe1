"""The verdict: silent where all is well, and each symptom with its cure where it is not."""

from __future__ import annotations

import torch

from pyroxene.diagnostics import Finding, Symptom, judge, summarize


def test_independent_draws_are_fine():
    torch.manual_seed(0)
    assert judge(summarize({"x": torch.randn(4, 1000, 3)})) == []


def test_each_symptom_is_named():
    torch.manual_seed(0)
    apart = torch.randn(4, 100, 5) + torch.arange(4.0)[:, None, None]
    findings = judge(summarize({"x": apart}), num_divergences=7, num_deep=300, max_tree_depth=10)
    assert [finding.symptom for finding in findings] == [
        Symptom.DIVERGENCES,
        Symptom.DISAGREEMENT,
        Symptom.FEW_EFFECTIVE,
        Symptom.DEEP_TREES,
    ]
    texts = list(map(str, findings))
    assert "7 of 400" in texts[0] and "x[" in texts[1] and "and 2 more" in texts[1] and "10" in texts[3]
    assert all(finding.symptom.value in text for finding, text in zip(findings, texts))


def test_the_worst_come_first():
    torch.manual_seed(0)
    draws = torch.randn(2, 100, 2) + torch.tensor([[[0.0, 0.0]], [[1.0, 9.0]]])
    (finding, _) = judge(summarize({"x": draws}))
    assert isinstance(finding, Finding) and finding.seen.index("x[1]") < finding.seen.index("x[0]")
