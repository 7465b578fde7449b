"""What must not be concluded from a training run: limits that follow from its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from overdue_ml.config import TrainConfig
from overdue_ml.reports.assessment import Remark

#: Below, an interval of the AUC is about six hundredths wide.
_FEW_OVERDUE = 200


def find_limits(facts: Mapping[str, Any], config: TrainConfig) -> list[Remark]:
    """The limits that hold for this run, gravest first.

    Parameters
    ----------
    facts : mapping
        The data sheet.
    config : TrainConfig

    Returns
    -------
    list of Remark
    """
    verdicts = facts["verdicts"]
    last, first_test = max(facts["as_of"]), min(facts["test_as_of"])
    n_dates = len(facts["as_of"])
    audit = facts["leakage_audit"]
    rejected = {table: n for table, n in facts["rejected_rows"].items() if n}
    found = [
        (bool(audit["findings"]), Remark("limit_leakage", {"n": str(len(audit["findings"]))})),
        (not audit["dates"], Remark("limit_not_audited")),
        (n_dates == 1, Remark("limit_single_date", {"date": last})),
        (first_test <= last, Remark("limit_not_out_of_time")),
        (
            first_test > last and len(facts["test_as_of"]) == 1,
            Remark("limit_one_test_date", {"date": first_test}),
        ),
        (config.split.by == "time", Remark("limit_same_customers")),
        (
            facts["test_overdue"] < _FEW_OVERDUE,
            Remark("limit_few_overdue", {"n": f"{facts['test_overdue']:,}"}),
        ),
        (bool(verdicts.get("immature")), Remark("limit_immature", {"n": f"{verdicts.get('immature', 0):,}"})),
        (_excluded(verdicts) > 0, Remark("limit_excluded", {"n": f"{_excluded(verdicts):,}"})),
        (
            bool(rejected),
            Remark(
                "limit_rejected",
                {"n": f"{sum(rejected.values()):,}", "tables": ", ".join(sorted(rejected))},
            ),
        ),
        (config.labels.population == "pre_due", Remark("limit_pre_due")),
        (config.labels.population == "past_due", Remark("limit_past_due")),
        (config.labels.source == "labels", Remark("limit_given_labels")),
        (config.model.calibration == "none", Remark("limit_not_calibrated")),
        (not config.evaluation.n_boot, Remark("limit_no_intervals")),
    ]
    # These hold for every run.
    always = [Remark("limit_association"), Remark("limit_treated")]
    return [remark for holds, remark in found if holds] + always


def _excluded(verdicts: Mapping[str, int]) -> int:
    """Rows that were decided not to count; immature ones are told apart."""
    return sum(n for name, n in verdicts.items() if name in ("technical", "already_overdue", "nothing_due"))
