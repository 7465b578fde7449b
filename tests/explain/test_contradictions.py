"""Which reasons contradict each other is data: an institution's catalogue may say otherwise."""

import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.explain import check_wording, load_wording
from overdue_ml.explain.speaking import CONTRADICTIONS


@pytest.fixture
def own(tmp_path):
    def load(text, lang="en"):
        path = tmp_path / "own.yaml"
        path.write_text(f"language: {lang}\ncontradictions: {text}\n", encoding="utf-8")
        return load_wording(lang, path)

    return load


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_those_of_the_package_unless_others_are_named(own, lang):
    assert load_wording(lang).contradictions == CONTRADICTIONS
    pair = frozenset({"ACCOUNT_AGE", "SPENDING"})
    assert own("[[ACCOUNT_AGE, SPENDING]]", lang).contradictions == {pair}
    assert own("[package, [SPENDING, ACCOUNT_AGE]]", lang).contradictions == CONTRADICTIONS | {pair}
    assert own("[]", lang).contradictions == frozenset()


@pytest.mark.parametrize(
    "text", ["yes", "[[A]]", "[[A, A]]", "[[A, B, C]]", "[A]", "[[A, 1]]", "{A: B}", "null"]
)
def test_what_is_no_list_of_pairs_is_refused(own, text):
    with pytest.raises(ConfigError, match="'contradictions' cannot be used"):
        own(text)


def test_a_pair_must_be_of_reasons(own):
    words = own("[[ACCOUNT_AGE, ACOUNT_AGE]]")
    with pytest.raises(ConfigError, match="ACOUNT_AGE: contradicts another and is no reason"):
        check_wording(words, [], [])
