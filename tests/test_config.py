"""Settings: strict types, no surprise from YAML, every fault named, and a hash that means something."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from overdue_ml.config import (
    CONFIG_FILES,
    BatchConfig,
    EvaluationConfig,
    LabelsConfig,
    ModelConfig,
    RecordsConfig,
    RemindersConfig,
    ScoreConfig,
    TrainConfig,
    build_config,
    config_hash,
    load_config,
    parse_yaml,
    read_yaml,
)
from overdue_ml.errors import ConfigError

CONFIGS = Path(__file__).parents[1] / "configs"


def parse(text: str):
    return parse_yaml(text, where="test")


def faults(model, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config(model, parse(text))
    assert caught.value.exit_code == 2
    return str(caught.value)


def keys(data: object, before: str = "") -> set[str]:
    if isinstance(data, list):
        return set().union(*(keys(item, before) for item in data))
    if not isinstance(data, dict):
        return {before}
    return {key for name, item in data.items() for key in keys(item, f"{before}.{name}")}


class TestFiles:
    def test_the_folder_holds_exactly_the_files_that_are_read(self):
        assert {path.name for path in CONFIGS.iterdir()} == set(CONFIG_FILES)

    @pytest.mark.parametrize("name", CONFIG_FILES)
    def test_a_file_shows_every_setting_with_its_default(self, name):
        model = CONFIG_FILES[name]
        assert load_config(model, CONFIGS / name) == model()
        assert keys(read_yaml(CONFIGS / name)) == keys(model().model_dump(mode="json"))

    @pytest.mark.parametrize("name", CONFIG_FILES)
    def test_every_setting_is_explained_once(self, name):
        lines = (CONFIGS / name).read_text(encoding="utf-8").splitlines()
        seen = set()
        for line in lines[1:]:
            key = line.split("#")[0].strip().removeprefix("- ").partition(":")
            group = not key[2].strip() and key[1]
            if key[1] and not group and key[0] not in seen:
                assert " # " in line, f"{name}: {line}"
            seen.add(key[0])
        assert lines[0].startswith("# ")

    @pytest.mark.parametrize("name", CONFIG_FILES)
    def test_plain_yaml_readers_see_the_same(self, name):
        """Nothing in the files depends on our dialect."""
        assert yaml.safe_load((CONFIGS / name).read_text(encoding="utf-8")) == read_yaml(CONFIGS / name)

    def test_a_missing_and_a_badly_encoded_file_are_config_errors(self, tmp_path):
        with pytest.raises(ConfigError, match="the config cannot be read"):
            read_yaml(tmp_path / "none.yaml")
        with pytest.raises(ConfigError, match="the config cannot be read"):
            read_yaml(tmp_path)
        (tmp_path / "latin.yaml").write_bytes(b"timezone: \xff\n")
        with pytest.raises(ConfigError, match="the config cannot be read"):
            load_config(RecordsConfig, tmp_path / "latin.yaml")


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("yes", "yes"),
            ("no", "no"),
            ("on", "on"),
            ("off", "off"),
            ("y", "y"),
            ("030", "030"),
            ("0o30", "0o30"),
            ("0x1F", "0x1F"),
            ("1_000", "1_000"),
            ("1:30", "1:30"),
            ("2005-09-30", "2005-09-30"),
            (".inf", ".inf"),
            (".nan", ".nan"),
            ("'1'", "1"),
            ("30", 30),
            ("-3", -3),
            ("0", 0),
            ("0.5", 0.5),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("true", True),
            ("False", False),
            ("null", None),
            ("~", None),
            ("", None),
            ("[1, 'a']", [1, "a"]),
        ],
    )
    def test_scalars_are_what_they_look_like(self, text, value):
        parsed = parse(f"key: {text}")["key"]
        assert (type(parsed), parsed) == (type(value), value)

    @pytest.mark.parametrize(
        ("text", "part"),
        [
            ("a: 1\na: 2", "the key 'a' stands twice"),
            ("a:\n  b: 1\n  b: 1", "the key 'b' stands twice"),
            ("a: [", "not valid YAML"),
            ("a:\n\tb: 1", "not valid YAML"),
            ("- 1\n- 2", "the config is not a mapping"),
            ("just text", "the config is not a mapping"),
            ("a: !!python/object:os.system x", "not valid YAML"),
            ("a: !!int x", "not valid YAML"),
            ("? [1]\n: 2", "a key is not plain text"),
            ("? {a: 1}\n: 2", "a key is not plain text"),
            ("a: &x [*x]", "not valid YAML"),
            ("a: 1\n---\na: 2", "not valid YAML"),
            ("[" * 5000, "not valid YAML"),
        ],
    )
    def test_what_is_no_config_is_a_config_error(self, text, part):
        with pytest.raises(ConfigError, match=part.replace("'", ".")) as caught:
            parse(text)
        assert "[test]" in str(caught.value)

    def test_an_empty_document_leaves_the_defaults(self):
        assert parse("") == parse("# nothing\n") == {}
        assert build_config(TrainConfig, {}) == TrainConfig()

    @given(st.text(max_size=60))
    @settings(max_examples=150, deadline=None)
    def test_any_text_is_a_mapping_or_a_config_error(self, text):
        try:
            assert isinstance(parse(text), dict)
        except ConfigError as error:
            assert error.exit_code == 2  # noqa: PT017


class TestTypes:
    @pytest.mark.parametrize(
        ("model", "text", "parts"),
        [
            (ModelConfig, "monotone: yes", ["monotone: Input should be a valid boolean", "'yes'"]),
            (ModelConfig, "monotone: 1", ["monotone", "valid boolean"]),
            (ModelConfig, "cv: 030", ["cv: Input should be a valid integer", "'030'"]),
            (ModelConfig, "cv: 5.0", ["cv", "valid integer"]),
            (ModelConfig, "cv: '5'", ["cv", "valid integer"]),
            (ModelConfig, "cv: true", ["cv", "valid integer"]),
            (ModelConfig, "cv: 1", ["cv", "greater than or equal to 2", "not 1"]),
            (ModelConfig, "subsample: '0.5'", ["subsample", "valid number"]),
            (ModelConfig, "subsample: true", ["subsample", "valid number"]),
            (ModelConfig, "subsample: 0", ["subsample", "greater than 0"]),
            (ModelConfig, "subsample: 1.01", ["subsample", "less than or equal to 1"]),
            (ModelConfig, "calibration: Platt", ["calibration", "'venn_abers', 'none' or 'auto'"]),
            (
                ModelConfig,
                "learning_rte: 0.1",
                ["learning_rte: unknown key", "allowed keys", "learning_rate"],
            ),
            (ModelConfig, "true: 1", ["1 setting(s) cannot be used"]),
            (TrainConfig, "model: {trees: 3}", ["model.trees: unknown key"]),
            (TrainConfig, "model:", ["model", "not None"]),
            (TrainConfig, "as_of: 2005-09-30", ["as_of", "valid list", "'2005-09-30'"]),
            (TrainConfig, "experiment: 3", ["experiment", "valid string"]),
            (LabelsConfig, "horizon_days: 367", ["horizon_days", "less than or equal to 366", "not 367"]),
            (EvaluationConfig, "top: [0.1, many]", ["top.1", "valid number", "'many'"]),
            (RecordsConfig, "max_rejected_share: 1.1", ["max_rejected_share", "less than or equal to 1"]),
            (RecordsConfig, "max_rejected_share: -0.1", ["max_rejected_share", "greater than or equal to 0"]),
            (RecordsConfig, "max_rejected_share: 1e999", ["max_rejected_share", "finite"]),
            (RecordsConfig, "csv_delimiter: '::'", ["csv_delimiter", "at most 1 character"]),
            (RecordsConfig, "csv_delimiter: ''", ["csv_delimiter", "at least 1 character"]),
            (
                RecordsConfig,
                "csv_encoding: utf8",
                ["csv_encoding", "'latin-1', 'gb18030' or 'gbk'"],
            ),
            (RecordsConfig, "timezone: Mars/Olympus", ["timezone", "IANA time zone", "'Mars/Olympus'"]),
            (RecordsConfig, "timezone: ../../etc/passwd", ["timezone", "IANA time zone"]),
            (RecordsConfig, "timezone: ''", ["timezone", "IANA time zone"]),
            (RecordsConfig, 'timezone: "UTC\' --"', ["timezone", "IANA time zone"]),
            (RecordsConfig, "attributes: [sex]", ["sex stands under both 'attributes' and 'protected'"]),
            (ScoreConfig, "points: {base: 1e999}", ["points.base", "finite"]),
            (ScoreConfig, "tiers: []", ["the last tier must take everybody"]),
            (
                ScoreConfig,
                "tiers: [{tier: high, min_probability: 0.1, min_amount: 0}]",
                ["the last tier must take everybody"],
            ),
            (ScoreConfig, "tiers: [{tier: top}]", ["tiers.0.tier", "tiers.0.min_probability"]),
            (RemindersConfig, "tiers: [urgent]", ["tiers.0", "'high', 'medium' or 'low'"]),
            (RemindersConfig, "lead_days: -1", ["lead_days", "greater than or equal to 0"]),
            (RemindersConfig, "tiers: []", ["tiers: List should have at least 1 item"]),
            (
                RemindersConfig,
                "exclusions: [{rule: vip, column: x, values: []}]",
                ["exclusions.0.values: List should have at least 1 item"],
            ),
            (RemindersConfig, "channels: [{channel: sms, tiers: []}]", ["channels.0.tiers", "at least 1"]),
            (RemindersConfig, "channels: [{channel: sms}, {channel: ' SMS'}]", ["'sms' stands twice"]),
            (RemindersConfig, "benefits: {high: 1.01}", ["benefits.high", "less than or equal to 1"]),
            (RemindersConfig, "benefits: {high: -1.01}", ["benefits.high", "greater than or equal to -1"]),
            (RemindersConfig, "holdout: {campaign: ' '}", ["holdout", "the 'campaign' is blank"]),
            (RemindersConfig, "ladder: [{rung: call, tiers: []}]", ["ladder.0.tiers", "at least 1"]),
            (RemindersConfig, "ladder: [{rung: None}]", ["ladder.0.rung", "'none' stands for customers"]),
            (
                RemindersConfig,
                # Low by the first, high by the second, and both from fewer days on.
                "ladder: [{rung: a, min_dpd: 3, tiers: [low]}, {rung: b}, {rung: c, min_dpd: 9}]",
                ["nobody reaches the rung 'c' of min_dpd 9"],
            ),
            (
                ScoreConfig,
                "tiers: [{tier: medium, min_probability: 0.2, min_amount: 100}, "
                "{tier: high, min_probability: 0.5, min_amount: 100}, "
                "{tier: low, min_probability: 0, min_amount: 0}]",
                ["nobody reaches the tier 'high' of min_probability 0.5: 'medium' before it"],
            ),
            (BatchConfig, "address: tcp://x:8786", ["an 'address' is one of the 'engine' dask or spark"]),
        ],
    )
    def test_a_fault_names_its_key_and_what_was_given(self, model, text, parts):
        message = faults(model, text)
        for part in parts:
            assert part in message

    @pytest.mark.parametrize(
        ("text", "is_reached"),
        [
            # No due of the as_of date itself is looked at, and a contact is possible from first_day on.
            ("lead_days: 0", False),
            ("lead_days: 1", True),
            ("lead_days: [0]", False),
            ("lead_days: 0\nhours: {first_day: 0}", False),
            ("lead_days: 1\nhours: {first_day: 0}", True),
            ("lead_days: 2\nhours: {first_day: 3}", False),
            ("lead_days: 3\nhours: {first_day: 3}", True),
            ("lead_days: [2, 1]\nhours: {first_day: 3}", False),
            ("lead_days: [3, 1]\nhours: {first_day: 3}", True),
            # A run stands for the days before the next: 2 days before a due in 2, 3 or 4 days.
            ("lead_days: [2]\nevery_days: 3\nhours: {first_day: 4}", True),
            ("lead_days: [2]\nevery_days: 3\nhours: {first_day: 5}", False),
            ("lead_days: 2\nevery_days: 3\nhours: {first_day: 3}", False),
        ],
    )
    def test_lead_days_that_no_contact_precedes_are_refused(self, text, is_reached):
        if is_reached:
            build_config(RemindersConfig, parse(text))
        else:
            assert "('hours.first_day'): nobody would ever be reminded" in faults(RemindersConfig, text)

    def test_tiers_and_rungs_that_somebody_reaches_are_taken(self):
        """More amount, or less probability, is another tier; other tiers are another rung."""
        tier = "{tier: %s, min_probability: %s, min_amount: %s}"
        tiers = [("medium", 0.2, 500), ("high", 0.5, 100), ("medium", 0.1, 900), ("low", 0, 0)]
        text = f"tiers: [{', '.join(tier % row for row in tiers)}]"
        assert len(build_config(ScoreConfig, parse(text)).tiers) == 4
        ladder = "[{rung: a, min_dpd: 9}, {rung: b, tiers: [low]}, {rung: c, min_dpd: 5}, {rung: b}]"
        assert len(build_config(RemindersConfig, parse(f"ladder: {ladder}")).ladder) == 4

    def test_an_address_goes_with_its_engine(self):
        config = build_config(BatchConfig, parse("engine: dask\naddress: tcp://x:8786"))
        assert config.address == "tcp://x:8786"

    @pytest.mark.parametrize(
        ("model", "text", "allowed"),
        [
            (TrainConfig, "labels: {grace: 3}", "allowed keys in labels are source, horizon_days"),
            (
                RecordsConfig,
                "mapping: {accounts: {columns: {principal_amount: {column: x, thousands: true}}}}",
                "keys in mapping.accounts.columns.principal_amount are column, values, scale, date_format.",
            ),
            (RecordsConfig, "mapping: {accounts: {file: x}}", "in mapping.accounts are source, columns."),
            (
                ScoreConfig,
                "tiers: [{tier: low, min_probability: 0, min_amount: 0, share: 1}]",
                "allowed keys in tiers.0 are tier, min_probability, min_amount.",
            ),
        ],
    )
    def test_an_unknown_key_is_told_those_of_its_place(self, model, text, allowed):
        message = faults(model, text)
        assert allowed in message
        assert message.count("allowed keys") == 1

    def test_keys_are_told_once_for_each_place_and_of_no_other(self):
        message = faults(TrainConfig, "model: {trees: 3, depth: 2}\nlabels: {grace: 1}\nextra: 1")
        assert message.count("allowed keys in model are") == message.count("allowed keys in labels are") == 1
        assert message.count("allowed keys are") == 1
        assert "allowed keys" not in faults(TrainConfig, "model: {cv: 1}"), "the key is known"

    def test_all_faults_are_named_at_once(self):
        message = faults(ModelConfig, "cv: 1\nmonotone: yes\nextra: 1")
        assert "3 setting(s) cannot be used" in message
        for key in ("cv", "monotone", "extra"):
            assert f"{key}: " in message

    def test_a_long_value_is_clipped(self):
        assert len(faults(ModelConfig, f"cv: {'x' * 10_000}")) < 600

    def test_whole_numbers_may_stand_for_floats_and_null_where_a_limit_may_lack(self):
        assert build_config(ModelConfig, parse("reg_lambda: 5")).reg_lambda == 5.0
        assert build_config(RemindersConfig, parse("capacity: null")).capacity is None
        assert build_config(RemindersConfig, parse("capacity: 10")).capacity == 10

    def test_protected_attributes_can_be_released_on_the_record(self):
        config = build_config(RecordsConfig, parse("protected: []\nattributes: [sex]"))
        assert config.attributes == ["sex"]

    def test_settings_cannot_be_changed_afterwards(self):
        with pytest.raises(ValueError, match="frozen"):
            RecordsConfig().timezone = "Asia/Shanghai"  # type: ignore[misc]


class TestOverrides:
    def test_they_win_over_the_file_which_wins_over_the_defaults(self, tmp_path):
        path = tmp_path / "train.yaml"
        path.write_text("experiment: mine\nmodel:\n  num_leaves: 31\n  cv: 3\n")
        config = load_config(TrainConfig, path, ["model.cv=4", "labels.source=next_statement", "model.cv=6"])
        assert (config.experiment, config.model.num_leaves, config.model.cv) == ("mine", 31, 6)
        assert config.labels.source == "next_statement"
        assert config.model.learning_rate == ModelConfig().learning_rate
        assert load_config(TrainConfig, path).model.cv == 3

    @pytest.mark.parametrize(
        ("item", "read"),
        [
            ('as_of=["2005-08-31", "2005-09-30"]', lambda c: c.as_of == ["2005-08-31", "2005-09-30"]),
            ("model.early_stopping_rounds=null", lambda c: c.model.early_stopping_rounds is None),
            ("experiment=a=b", lambda c: c.experiment == "a=b"),
            ("split.salt=yes", lambda c: c.split.salt == "yes"),
            (" model.cv =7", lambda c: c.model.cv == 7),
        ],
    )
    def test_values_are_read_as_yaml(self, item, read):
        assert read(load_config(TrainConfig, overrides=[item]))

    @pytest.mark.parametrize(
        ("item", "part"),
        [
            ("model.cv", "'model.cv' is not an override"),
            ("=3", "'=3' is not an override"),
            ("model.cv=yes", "model.cv: Input should be a valid integer"),
            ("model.cvs=3", "model.cvs: unknown key"),
            ("models.cv=3", "models: unknown key"),
            ("experiment.name=x", "experiment"),
            ("model.cv=[", "not valid YAML"),
            ("model..cv=3", "unknown key"),
        ],
    )
    def test_a_bad_override_is_named(self, item, part):
        with pytest.raises(ConfigError) as caught:
            load_config(TrainConfig, overrides=[item])
        assert part in str(caught.value)

    def test_an_override_below_a_plain_value_is_named(self, tmp_path):
        path = tmp_path / "train.yaml"
        path.write_text("experiment: mine\n")
        with pytest.raises(ConfigError, match=r"'experiment' in 'experiment\.x' is not a group"):
            load_config(TrainConfig, path, ["experiment.x=1"])


class TestHash:
    def test_it_is_stable(self):
        assert config_hash(RecordsConfig()) == config_hash(RecordsConfig())
        assert config_hash(TrainConfig(), RecordsConfig()) == config_hash(
            load_config(TrainConfig, CONFIGS / "train.yaml"),
            load_config(RecordsConfig, CONFIGS / "records.yaml"),
        )
        assert len(config_hash(TrainConfig())) == 64

    def test_the_way_a_value_is_written_does_not_matter(self):
        texts = ["reg_lambda: 5\ncv: 4", "cv: 4\nreg_lambda: 5.0"]
        assert len({config_hash(build_config(ModelConfig, parse(text))) for text in texts}) == 1

    def test_every_setting_and_the_order_of_configs_count(self):
        """Each setting on its own, changed to another allowed value, gives another hash."""
        others: dict[type, object] = {
            str: "Asia/Shanghai",
            float: 0.25,
            int: 7,
            bool: True,
            list: ["other"],
            dict: {"accounts": {"source": "loans"}},
        }
        named = {"csv_delimiter": ";", "csv_encoding": "latin-1", "calibration": "beta", "top": [0.3]}
        named |= {"lang": "zh", "segments": ["other"], "amount": "other_amount", "min_group_rows": 50}
        for model in (RecordsConfig, ModelConfig, EvaluationConfig):
            seen = {config_hash(model())}
            for name in model.model_fields:
                default = getattr(model(), name)
                value = named.get(name, 3 if default is None else others[type(default)])
                seen.add(config_hash(build_config(model, {name: value})))
            assert len(seen) == 1 + len(model.model_fields)
        assert config_hash(TrainConfig(), RecordsConfig()) != config_hash(RecordsConfig(), TrainConfig())

    def test_two_kinds_of_settings_with_equal_content_differ(self):
        class Other(RecordsConfig):
            pass

        assert config_hash(RecordsConfig()) != config_hash(Other())


def test_no_setting_takes_nan():
    with pytest.raises(ConfigError, match="finite"):
        build_config(ModelConfig, {"reg_lambda": math.nan})
