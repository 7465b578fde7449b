"""Typed settings: one pydantic model for each YAML file in ``configs/``; unknown keys are errors."""

from overdue_ml.config.batch import BatchConfig as BatchConfig
from overdue_ml.config.gates import GatesConfig as GatesConfig
from overdue_ml.config.reading import build_config as build_config
from overdue_ml.config.reading import check_config as check_config
from overdue_ml.config.reading import config_hash as config_hash
from overdue_ml.config.reading import load_config as load_config
from overdue_ml.config.reading import parse_yaml as parse_yaml
from overdue_ml.config.reading import read_yaml as read_yaml
from overdue_ml.config.reminders import AlertRule as AlertRule
from overdue_ml.config.reminders import ChannelRule as ChannelRule
from overdue_ml.config.reminders import ContactCap as ContactCap
from overdue_ml.config.reminders import ContactsConfig as ContactsConfig
from overdue_ml.config.reminders import ExclusionRule as ExclusionRule
from overdue_ml.config.reminders import HoldoutConfig as HoldoutConfig
from overdue_ml.config.reminders import HoursConfig as HoursConfig
from overdue_ml.config.reminders import LadderRule as LadderRule
from overdue_ml.config.reminders import RemindersConfig as RemindersConfig
from overdue_ml.config.settings import CONFIG_FILES as _FILES
from overdue_ml.config.settings import AuditConfig as AuditConfig
from overdue_ml.config.settings import ColumnMapping as ColumnMapping
from overdue_ml.config.settings import ContributionsConfig as ContributionsConfig
from overdue_ml.config.settings import EvaluationConfig as EvaluationConfig
from overdue_ml.config.settings import FeaturesConfig as FeaturesConfig
from overdue_ml.config.settings import LabelsConfig as LabelsConfig
from overdue_ml.config.settings import ModelConfig as ModelConfig
from overdue_ml.config.settings import PointsConfig as PointsConfig
from overdue_ml.config.settings import RecordsConfig as RecordsConfig
from overdue_ml.config.settings import ScoreConfig as ScoreConfig
from overdue_ml.config.settings import SelectionConfig as SelectionConfig
from overdue_ml.config.settings import SplitConfig as SplitConfig
from overdue_ml.config.settings import TableMapping as TableMapping
from overdue_ml.config.settings import TierRule as TierRule
from overdue_ml.config.settings import TrainConfig as TrainConfig
from overdue_ml.config.settings import TuningConfig as TuningConfig

CONFIG_FILES = _FILES | {
    "reminders.yaml": RemindersConfig,
    "gates.yaml": GatesConfig,
    "batch.yaml": BatchConfig,
}
