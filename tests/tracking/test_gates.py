"""The gates of a champion: every figure against its limit, worked out by hand."""

import json

import pytest

from overdue_ml.config import GatesConfig
from overdue_ml.errors import ModelError
from overdue_ml.tracking import (
    Gate,
    Policy,
    check_gates,
    load_model,
    log_run,
    promote,
    read_promotions,
)
from overdue_ml.tracking.registry import run_file


@pytest.fixture
def gates(store, record):
    """Log a version that shows other things than a good one; its gates against a champion, by name."""

    def ask(champion="1", config=None, **changes):
        version = log_run(store, record(**changes), "overdue", "overdue").version
        found = check_gates(store, load_model(store, f"overdue/{version}"), champion, config)
        return {gate.name.split(" (")[0]: gate for gate in found}

    return ask


def test_a_good_version_passes_every_gate_and_a_bad_one_none(gates):
    good = gates()
    assert list(good) == [
        "evidence", "discrimination", "calibration error", "shift of the score", "leakage audit",
        "overdue rows set aside",
    ]  # fmt: skip
    assert all(gate.passed for gate in good.values())
    leak = {"feature": "dpd", "how": "deleted", "as_of": "2023-12-31", "table": "payments", "customers": 3}
    audit = {"dates": ["2023-12-31"], "customers": 100, "max_auc": 0.9, "findings": [leak]}
    bad = gates(auc=0.6, ece=0.2, psi=0.4, overdue=20, audit=audit)
    assert [name for name, gate in bad.items() if gate.passed] == ["evidence"]
    assert bad["leakage audit"].figure == "found dpd"


# Intervals of 0.04 are standard errors of 0.04 / (2 x 1.95996) = 0.010204 each; together 0.014431; times the
# 1.644854 of one-sided 95 % a noise of 0.023737. The champion has 0.75: the limit is 0.726263.
@pytest.mark.parametrize(("auc", "passed"), [(0.72627, True), (0.72625, False), (0.9, True), (0.5, False)])
def test_a_loss_within_the_noise_of_both_intervals_is_no_loss(gates, auc, passed):
    gate = gates(auc=auc)["discrimination"]
    assert gate.passed is passed
    assert gate.limit == "at least 0.7263"
    assert "champion version 1 has 0.75, noise 0.02374 (bootstrap)" in gate.note


def test_a_wider_confidence_lets_a_larger_loss_pass(gates):
    # One-sided 99 %: 2.326348 x 0.014431 = 0.033572, limit 0.716428.
    assert gates(auc=0.72, config=GatesConfig(level=0.99))["discrimination"].passed
    assert not gates(auc=0.716, config=GatesConfig(level=0.99))["discrimination"].passed


def test_without_an_interval_the_error_comes_from_the_counts(gates):
    # Hanley and McNeil with AUC 0.7, 300 overdue and 1,700 on time: Q1 = 0.7 / 1.3 = 0.538462,
    # Q2 = 0.98 / 1.7 = 0.576471; 0.21 + 299 x 0.048462 + 1699 x 0.086471 = 161.6134; over 510,000:
    # 0.000316889, root 0.0178014. With the champion's 0.0102043: 0.0205188 x 1.644854 = 0.0337505.
    gate = gates(auc=0.7, interval=None)["discrimination"]
    assert not gate.passed
    assert "noise 0.03375 (Hanley-McNeil)" in gate.note


def test_the_comparison_says_on_what_both_were_tested(gates):
    assert "both tested as of 2024-01-31" in gates()["discrimination"].note
    other = gates(test_as_of=["2024-02-29"], labels="instalments")["discrimination"].note
    assert "unpaired: the champion was tested as of 2024-01-31" in other
    assert "trained on other labels" in other
    assert "other labels" not in gates()["discrimination"].note
    # The versions here were trained as of November and December 2023.
    assert "not out of time" in gates(test_as_of=["2023-12-31"])["discrimination"].note


def test_the_first_champion_has_nothing_to_compare_with(gates):
    gate = gates(champion="", auc=0.55)["discrimination"]
    assert gate.passed
    assert "no champion yet" in gate.note


def test_a_champion_that_cannot_be_read_fails_the_comparison(gates, store):
    (path,) = store.artifacts.rglob(f"m-*{_model_id(store, '2')}/**/booster_0.txt")
    path.unlink()
    gate = gates(champion="2")["discrimination"]
    assert not gate.passed
    assert "champion version 2 cannot be read" in gate.note


def _model_id(store, version):
    uri = store.client().get_model_version("overdue", version).source
    return uri.rpartition("m-")[2]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"evaluation": False}, "the run has no evaluation"),
        ({"logged": {"auc": 0.74, "ece": 0.02}}, "tell different figures of auc"),
        ({"logged": {}}, "tell different figures"),
    ],
)
def test_figures_that_are_not_on_record_pass_no_gate(gates, changes, told):
    found = gates(champion="", **changes)
    assert told in found["evidence"].figure
    failed = {name for name, gate in found.items() if not gate.passed}
    assert {"evidence", "discrimination", "calibration error", "shift of the score"} == failed


@pytest.mark.parametrize(
    "text", ["", "[]", '{"overall": 3}', '{"overall": [], "score_psi": NaN}', "[" * 9999]
)
def test_an_evaluation_that_is_none_passes_no_gate(gates, store, monkeypatch, text):
    monkeypatch.setattr("overdue_ml.tracking.gates.run_file", lambda *a: text.encode())
    assert not gates(champion="")["evidence"].passed


@pytest.mark.parametrize("audit", [None, {"dates": [], "findings": []}])
def test_an_audit_that_was_not_done_is_not_passed(gates, audit):
    assert gates(audit=audit)["leakage audit"].figure == "not done"
    assert "leakage audit" not in gates(audit=audit, config=GatesConfig(audit=False))


def test_limits_are_reached_not_crossed(gates):
    at = gates(ece=0.05, psi=0.25, overdue=50)
    assert all(gate.passed for gate in at.values())
    over = gates(ece=0.0501, psi=0.2501, overdue=49)
    assert [name for name, gate in over.items() if not gate.passed] == [
        "calibration error", "shift of the score", "overdue rows set aside",
    ]  # fmt: skip
    none = gates(ece=0.9, psi=9.0, config=GatesConfig(max_ece=None, max_score_psi=None))
    assert all(gate.passed for gate in none.values())


def test_few_rows_are_allowed_the_calibration_error_of_chance(gates):
    # Ten bins of 30 rows at 0.2: each strays by sqrt(2 / pi) x sqrt(0.2 x 0.8 / 30) = 0.797885 x 0.0730297
    # = 0.0582693 on average; with 0.05 the limit is 0.1082693.
    few = [{"n": 30, "mean_p": 0.2}] * 10
    assert gates(ece=0.10826, bins=few)["calibration error"].passed
    gate = gates(ece=0.10828, bins=few)["calibration error"]
    assert not gate.passed
    assert (gate.limit, gate.note) == ("at most 0.1083", "0.05 and 0.05827 of chance in these rows")
    # With a hundred times as many a tenth: 0.0558269.
    many = [{"n": 3000, "mean_p": 0.2}] * 10
    assert not gates(ece=0.05583, bins=many)["calibration error"].passed
    assert gates(ece=0.05582, bins=many)["calibration error"].passed


def test_the_evaluation_of_a_run_is_found_where_the_folder_was_moved_to(store):
    run = load_model(store, "overdue/1").run_id
    assert json.loads(run_file(store, run, "evaluation/evaluation.json"))["score_psi"] == 0.05
    assert run_file(store, run, "evaluation/nothing.json") is None
    assert run_file(store, "0" * 32, "evaluation/evaluation.json") is None


# ---- Promotion behind gates


def test_a_champion_that_fails_is_refused_with_every_figure(store, record):
    promote(store, "overdue", "1", "champion", "lin", policy=Policy())
    version = log_run(store, record(auc=0.6, ece=0.2), "overdue", "overdue").version
    before = (store.folder / "promotions.jsonl").read_bytes()
    with pytest.raises(ModelError) as caught:
        promote(store, "overdue", version, "champion", "lin", policy=Policy())
    assert caught.value.exit_code == 4
    told = str(caught.value)
    assert "does not pass 2 gate(s)" in told
    assert "discrimination (auc): 0.6 (limit: at least 0.7263)" in told
    assert "calibration error (ECE): 0.2 (limit: at most 0.05)" in told
    assert "--override" in told
    assert load_model(store, "overdue@champion").version == "1"
    assert (store.folder / "promotions.jsonl").read_bytes() == before


def test_an_override_goes_on_the_record_with_the_gates_that_failed(store, record):
    version = log_run(store, record(ece=0.2), "overdue", "overdue").version
    policy = Policy(override="the old one leaks; 逾期")
    line = promote(store, "overdue", version, "champion", "lin", policy=policy)
    assert line["override"] == "the old one leaks; 逾期"
    failed = [Gate(**gate) for gate in line["gates"] if not gate["passed"]]
    assert [(gate.figure, gate.limit) for gate in failed] == [(0.2, "at most 0.05")]
    assert read_promotions(store.folder / "promotions.jsonl") == [line]


def test_an_override_of_blanks_is_none(store, record):
    version = log_run(store, record(ece=0.2), "overdue", "overdue").version
    with pytest.raises(ModelError, match="does not pass"):
        promote(store, "overdue", version, "champion", "lin", policy=Policy(override="  "))


def test_a_challenger_is_not_held_back_and_its_gates_are_on_the_record(store, record):
    promote(store, "overdue", "1", "champion", "lin", policy=Policy())
    version = log_run(store, record(auc=0.6), "overdue", "overdue").version
    line = promote(store, "overdue", version, "challenger", "lin", policy=Policy())
    assert [gate["name"] for gate in line["gates"] if not gate["passed"]] == ["discrimination (auc)"]
    assert load_model(store, "overdue@challenger").version == version


def test_a_promotion_that_asks_no_gate_says_so(store):
    assert promote(store, "overdue", "1", "champion", "lin")["gates"] == "not asked"
