"""Customers that interventional contributions are taken against: drawn by id, the same from any buckets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from overdue_ml.config import ContributionsConfig
from overdue_ml.errors import NothingToScoreError
from overdue_ml.explain import choose_background
from overdue_ml.features import Beside, build_part, ranks_of, registry_with
from overdue_ml.features.build import epoch_days
from overdue_ml.features.views import known_customers
from overdue_ml.jobs.book import BookSource, each_bucket
from overdue_ml.jobs.output import write_parquet
from overdue_ml.jobs.parts import Among
from overdue_ml.model import ScoringModel
from overdue_ml.records import keep_customers

#: In the folder of a run with such contributions: whoever replays one score needs them.
BACKGROUND = "background.parquet"


def draw_background(
    book: BookSource, as_of: dt.date, model: ScoringModel, config: ContributionsConfig, among: Among
) -> pd.DataFrame:
    """Features of the background of a book.

    Parameters
    ----------
    book : BookSource
    as_of : datetime.date
    model : ScoringModel
    config : ContributionsConfig
    among : Among
        With everybody, where features of the user's own look at them.

    Returns
    -------
    pandas.DataFrame
        Indexed by customer_id and sorted by it; categories as strings.

    Raises
    ------
    NothingToScoreError
        If nobody is known on the date.
    """
    buckets = range(book.n_buckets)
    chosen: list[str] = []
    for _, records in each_bucket(book, buckets):
        known = known_customers(records, epoch_days([as_of])).customer_ids
        chosen = choose_background([*chosen, *map(str, known)], config.background, config.seed)
    registry = registry_with(model.meta["attributes"], among.own, ranks=ranks_of(model.meta))
    parts = []
    for _, records in each_bucket(book, buckets):
        own = keep_customers(records, chosen)
        beside = Beside(among.whole, among.ranks)
        part = build_part(own, as_of, model.feature_names, registry, beside=beside)
        if part is not None:
            named = [name for name in part.columns if isinstance(part[name].dtype, pd.CategoricalDtype)]
            parts.append(part.droplevel("as_of_date").astype(dict.fromkeys(named, "str")))
    if not parts:
        raise NothingToScoreError(
            f"nothing is known of any customer on {as_of}",
            next_step="choose an as_of date on or after the first record",
        )
    return pd.concat(parts).sort_index()


def write_background(background: pd.DataFrame, folder: Path) -> None:
    """Write a background beside the scores that it explains."""
    write_parquet(background.rename_axis("customer_id").reset_index(), folder / BACKGROUND)


def read_background(folder: Path) -> pd.DataFrame | None:
    """The background of a run; None if its contributions are path-dependent."""
    path = folder / BACKGROUND
    if not path.is_file():
        return None
    frame: pd.DataFrame = pq.read_table(path, page_checksum_verification=True).to_pandas()
    return frame.set_index("customer_id")


def is_interventional(manifest: Mapping[str, Any]) -> bool:
    """Whether the contributions of a run are taken against a background."""
    # Runs of before there was a choice do not say.
    config = manifest["settings"]["score"].get("contributions", {})
    return bool(config.get("kind", "path_dependent") == "interventional")
