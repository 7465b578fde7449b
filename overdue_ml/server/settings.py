"""Settings of the risk officer's page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: Rows a page that an officer may choose from.
PAGE_SIZES = (25, 50, 100, 200)


class ServeConfig(BaseModel):
    """What ``overdue-ml serve --config`` may set.

    Parameters
    ----------
    page_size : {25, 50, 100, 200}
        Rows a page where the officer chose none.
    export_rows : int
        An export holds at most so many rows; the page says how many are left out.
    runs_in_memory : int
        Scoring runs whose lists are kept at hand, at about 85 bytes a customer each.
    session_hours : float
        A login ends after so many hours.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    page_size: Literal[25, 50, 100, 200] = 50
    export_rows: int = Field(default=100_000, ge=1, le=1_000_000)
    runs_in_memory: int = Field(default=2, ge=1, le=100)
    session_hours: float = Field(default=8.0, gt=0.0, le=24.0)


@dataclass(frozen=True)
class Sources:
    """What is shown, and how.

    Parameters
    ----------
    out : Path
        Folder of scoring runs.
    lang : str
        Language where the officer chose none.
    records : Path, optional
        The scored records, if they moved.
    wording : Path, optional
        A reason catalogue of your own, used in its language.
    features_module : Path, optional
        Features of your own that the model was trained with.
    models : Path, optional
        The models folder: cards then say what would change the score.
    mask_ids : bool, default False
        Show customers and accounts by the ends of their ids only, also in addresses and exports.
    """

    out: Path
    lang: str = "en"
    records: Path | None = None
    wording: Path | None = None
    features_module: Path | None = None
    models: Path | None = None
    mask_ids: bool = False
