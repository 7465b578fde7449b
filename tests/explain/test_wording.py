from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from overdue_ml.config import read_yaml
from overdue_ml.errors import ConfigError
from overdue_ml.explain import wording as module
from overdue_ml.explain.wording import Wording, check_wording, languages, load_wording
from overdue_ml.features.catalogue import default_registry

REGISTRY = default_registry(["education"])
UNITS: dict[str, str] = {feature.name: feature.unit for feature in REGISTRY}
CODES = sorted({feature.reason for feature in REGISTRY})
FOLDER = Path(module.__file__).with_name("catalogue")


@pytest.fixture(params=["en", "zh"])
def wording(request: pytest.FixtureRequest) -> Wording:
    return load_wording(request.param)


def _figures(value: float) -> dict[str, float | None]:
    return dict.fromkeys(UNITS, value)


def test_both_languages_come_with_the_package():
    assert languages() == ["en", "zh"]


def test_every_reason_has_words_and_every_placeholder_is_a_feature(wording):
    assert len(CODES) == 36
    check_wording(wording, CODES, UNITS)


def test_every_placeholder_carries_the_reason_it_stands_under(wording):
    reasons = {feature.name: feature.reason for feature in REGISTRY}
    for code in CODES:
        assert {reasons[name] for name in wording.placeholders(code)} <= {code}


def test_languages_have_the_same_keys_and_placeholders():
    en, zh = load_wording("en"), load_wording("zh")
    for section in ("reasons", "units", "tiers", "behaviours", "card"):
        assert getattr(en, section).keys() == getattr(zh, section).keys()
    for code in CODES:
        assert en.placeholders(code) == zh.placeholders(code)
    raw_en, raw_zh = (read_yaml(FOLDER / f"{lang}.yaml") for lang in ("en", "zh"))
    names = module._PLACEHOLDER.findall
    assert {k: sorted(names(v)) for k, v in raw_en["card"].items()} == {
        k: sorted(names(v)) for k, v in raw_zh["card"].items()
    }


def test_chinese_texts_are_chinese_with_full_width_marks():
    zh = load_wording("zh")
    texts = [text for reason in zh.reasons.values() for text in vars(reason).values()] + list(
        zh.card.values()
    )
    bare = [module._PLACEHOLDER.sub("", text) for text in texts]
    assert not [text for text in bare if set(text) & set(",;()")]
    assert all(any("\u4e00" <= c <= "\u9fff" for c in text) for text in bare)


@pytest.mark.parametrize("contribution", [0.4, -0.4, 0.0])
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e12, 0.5])
def test_sentences_are_filled_in_for_any_figure(wording, contribution, value):
    for code in CODES:
        sentence = wording.sentence(code, contribution, _figures(value), UNITS)
        assert "{" not in sentence
        assert "}" not in sentence
        assert sentence[-1] in ".。"


def test_the_customers_figures_appear():
    figures = _figures(0.0) | {"stmt_utilisation_latest": 0.934, "stmt_utilisation_mean_last6": 0.88}
    en = load_wording("en").sentence("UTILISATION", 0.3, figures, UNITS)
    assert en == (
        "The balance stands at 93 % of the credit limit and averaged 88 % "
        "over the latest statements (up to 6)."
    )
    zh = load_wording("zh").sentence("UTILISATION", -0.3, figures, UNITS)
    assert "93%" in zh
    assert "88%" in zh


@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf")])
def test_an_unknown_figure_falls_back_to_the_plain_sentence(wording, unknown):
    for code in CODES:
        for name in wording.placeholders(code):
            figures = _figures(2.0) | {name: unknown}
            reason = wording.reasons[code]
            for contribution, filled, plain in (
                (1.0, reason.adverse, reason.adverse_plain),
                (-1.0, reason.protective, reason.protective_plain),
            ):
                if "{" + name + "}" in filled:
                    assert wording.sentence(code, contribution, figures, UNITS) == plain
    assert wording.sentence("UTILISATION", 1.0, {}, {}) == wording.reasons["UTILISATION"].adverse_plain


@pytest.mark.parametrize(
    ("value", "unit", "en", "zh"),
    [
        (60.0, "days", "60 days", "60天"),
        (1.0, "days", "1 day", "1天"),
        (2.5, "days", "2.5 days", "2.5天"),
        (0.93, "ratio", "93 %", "93%"),
        (0.0421, "ratio", "4.2 %", "4.2%"),
        (-0.00001, "ratio", "0 %", "0%"),
        (-1234.0, "amount", "-1,234", "-1,234元"),
        (12.5, "amount", "12.50", "12.50元"),
        (1234567.8, "amount", "1,234,568", "1,234,568元"),
        (1e300, "amount", "1e+300", "1e+300元"),
        (3.0, "count", "3", "3"),
        (-1.5, "score", "-1.5", "-1.5"),
        (None, "amount", "not known", "暂缺"),
        (float("nan"), "days", "not known", "暂缺"),
    ],
)
def test_numbers(value, unit, en, zh):
    assert load_wording("en").format_number(value, unit) == en
    assert load_wording("zh").format_number(value, unit) == zh


def test_dates_tiers_and_behaviours():
    en, zh = load_wording("en"), load_wording("zh")
    day = dt.date(2005, 9, 30)
    assert (en.format_date(day), zh.format_date(day)) == ("30 September 2005", "2005年9月30日")
    assert (en.tier("high"), zh.behaviour("late"), en.tier("watch")) == ("High risk", "逾期", "watch")
    assert en.format_date(None) == "not known"


def test_unknown_things_are_config_errors():
    en = load_wording("en")
    for call in (
        lambda: load_wording("fr"),
        lambda: load_wording("../en"),
        lambda: en.title("NO_SUCH"),
        lambda: en.format_number(1.0, "furlongs"),
        lambda: en.text("no_such"),
        lambda: en.text("as_of"),
        lambda: en.sentence("CREDIT_LIMIT", 1.0, {"account_credit_limit_amount_sum": 1.0}, {}),
        lambda: check_wording(en, ["NO_SUCH"], UNITS),
        lambda: check_wording(en, ["UTILISATION"], []),
    ):
        with pytest.raises(ConfigError):
            call()


def test_an_institution_overrides_what_differs(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(
        "language: en\nreasons:\n  UTILISATION:\n    title: Limit use\nunits:\n  amount: 'NT$ {n}'\n",
        encoding="utf-8",
    )
    own = load_wording("en", path)
    assert own.title("UTILISATION") == "Limit use"
    assert own.title("LATE_DEPTH") == load_wording("en").title("LATE_DEPTH")
    assert own.format_number(1234.0, "amount") == "NT$ 1,234"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("language: zh", "is in 'zh'"),
        ("extra: {}", "unknown section"),
        ("card:\n  headline: x", "not a text of the card"),
        ("card:\n  heading: '{customer.__class__}'", "malformed"),
        ("card:\n  heading: '{name}'", "unknown placeholder"),
        ("reasons:\n  NEW: {title: x}", "lacks adverse"),
        ("reasons:\n  UTILISATION: {advers: x}", "unknown keys"),
        ("reasons:\n  UTILISATION: {adverse_plain: 'at {stmt_utilisation_latest}'}", "has a placeholder"),
        ("reasons:\n  UTILISATION: {adverse: 'at {0}'}", "malformed"),
        ("reasons: 3", "missing"),
        ("units:\n  amount: 3", "no usable text"),
        ("months: [a]", "months"),
    ],
)
def test_a_faulty_override_is_refused(tmp_path, text, fault):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=fault):
        load_wording("en", path)


def test_another_language_has_to_be_complete(tmp_path):
    path = tmp_path / "fr.yaml"
    whole = (FOLDER / "en.yaml").read_text(encoding="utf-8").replace("language: en", "language: fr")
    path.write_text(whole, encoding="utf-8")
    assert load_wording("fr", path).language == "fr"
    path.write_text(whole.replace("  UTILISATION:", "  UTILISATION_X:"), encoding="utf-8")
    with pytest.raises(ConfigError, match="lacks UTILISATION"):
        load_wording("fr", path)


def _with_adverse(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(f"language: en\nreasons:\n  NEXT_DUE: {{adverse: '{text}'}}\n", encoding="utf-8")
    return load_wording("en", path)


def test_dates_are_told_in_the_words_of_the_language():
    figures, as_of = _figures(10.0), dt.date(2024, 4, 30)
    en = load_wording("en").sentence("NEXT_DUE", 1.0, figures, UNITS, as_of)
    assert en.startswith("The next instalment, paid already or not, is due on 10 May 2024, in 10 days;")
    zh = load_wording("zh").sentence("ACCOUNT_AGE", -1.0, figures, UNITS, as_of)
    assert zh.startswith("首个账户于2024年4月20日开立，至今10天，")


def test_sentences_with_a_date_are_plain_where_it_is_not_known(tmp_path):
    own = _with_adverse(tmp_path, "Due on {due_days_next.future_date}.")
    assert own.placeholders("NEXT_DUE") >= {"due_days_next"}
    assert own.sentence_features("NEXT_DUE", 1.0) == {"due_days_next"}
    plain, as_of = own.reasons["NEXT_DUE"].adverse_plain, dt.date(2024, 4, 30)

    def told(value, day=as_of, unit="days"):
        return own.sentence("NEXT_DUE", 1.0, {"due_days_next": value}, {"due_days_next": unit}, day)

    assert told(1.0) == "Due on 1 May 2024."
    # No date to count from, half a day, a date beyond the calendar, and what is no number of days.
    for other in (
        told(1.0, None),
        told(0.5),
        told(1e12),
        told(None),
        told(float("nan")),
        told(1.0, unit="count"),
    ):
        assert other == plain


def test_a_date_of_what_is_no_feature_is_refused(tmp_path):
    own = _with_adverse(tmp_path, "Due on {due_days_nxt.future_date}.")
    with pytest.raises(ConfigError, match="'due_days_nxt' is no feature"):
        check_wording(own, CODES, UNITS)
    with pytest.raises(ConfigError, match="malformed"):
        _with_adverse(tmp_path, "Due on {due_days_next.other_date}.")


def test_sentences_with_figures_are_not_empty_of_them(wording):
    """Each reason says something of the customer in both directions, but for the details, which never do."""
    for code in CODES:
        for contribution in (1.0, -1.0):
            assert bool(wording.sentence_features(code, contribution)) == (code != "PROFILE")
            told = wording.plain_sentence(code, contribution)
            assert told == wording.sentence(code, contribution, {}, UNITS) or code == "PROFILE"
