"""One base class, one sentence, one exit code for each kind of failure."""

from __future__ import annotations

import pickle

import pytest

from overdue_ml import errors
from overdue_ml.errors import OverdueMLError, RecordsError

CODES = {
    "OverdueMLError": 1,
    "ConfigError": 2,
    "RecordsError": 3,
    "CampaignError": 3,
    "ModelError": 4,
    "FeatureMismatchError": 4,
    "NothingToScoreError": 5,
    "ResourceError": 6,
}


def test_every_exception_has_the_base_class_and_its_exit_code():
    found = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert {name: kind.exit_code for name, kind in found.items()} == CODES
    assert all(issubclass(kind, OverdueMLError) for kind in found.values())


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({}, "it broke."),
        ({"where": "table t"}, "it broke [table t]."),
        ({"expected": "a date"}, "it broke; expected a date."),
        ({"next_step": "mend it"}, "it broke; mend it."),
        (
            {"where": "table t", "expected": "a date", "next_step": "mend it"},
            "it broke [table t]; expected a date; mend it.",
        ),
    ],
)
def test_the_message_is_what_where_expected_next_step(parts, sentence):
    error = RecordsError("it broke", **parts)
    assert str(error) == sentence
    assert [error.where, error.expected, error.next_step] == [
        parts.get("where"),
        parts.get("expected"),
        parts.get("next_step"),
    ]


def test_an_error_survives_the_way_to_another_process():
    error = pickle.loads(pickle.dumps(RecordsError("it broke", where="table t", next_step="mend it")))
    assert (type(error), error.what, error.where, error.next_step) == (
        RecordsError,
        "it broke",
        "table t",
        "mend it",
    )
    assert str(error) == "it broke [table t]; mend it."
