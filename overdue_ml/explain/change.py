"""Why a score changed between two dates or two models: data, model and calibration, split exactly.

Let z be the raw log-odds of a model, b its starting point, c its contributions, p the calibrated probability.
Of "then" (model A, features x) and "now" (model B, features y) the calibrated log-odds differ by

    logit p_B(y) - logit p_A(x) =   [c_A(y) - c_A(x)]     data, for each reason
                                  + [c_B(y) - c_A(y)]     model, for each reason
                                  + [b_B - b_A]           where the models start
                                  + [(logit p_B(y) - z_B(y)) - (logit p_A(x) - z_A(x))]   calibration

which adds up since z = b + sum of c. The order is a choice: data are weighed by the model of then, models
are compared on the data of now. With one model the second and third part are nought, with one date the first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from overdue_ml.errors import ConfigError, ModelError
from overdue_ml.explain._whatif_words import say
from overdue_ml.explain.contributions import explain_scores
from overdue_ml.explain.reasons import sum_by_reason
from overdue_ml.explain.speaking import round_to_total
from overdue_ml.explain.wording import Wording
from overdue_ml.model import ScoringModel

FloatArray = npt.NDArray[np.float64]

#: Largest gap between the sum of the parts and the change, in log-odds.
TOLERANCE = 1e-9
#: A calibrator may say 0 or 1, of which there are no log-odds: they count as so close to it.
EDGE = 1e-9
_VISIBLE = 0.005
_MOST = 8


@dataclass(frozen=True)
class Scores:
    """Scores of some customers by one model, and what they are made of.

    Attributes
    ----------
    by_reason : pandas.DataFrame, shape (n_customers, n_reasons)
        Contributions in log-odds by reason code; indexed by customer.
    base : float
        The model's starting point.
    log_odds, p_overdue : pandas.Series
        Raw log-odds and calibrated probability; indexed alike.
    """

    by_reason: pd.DataFrame
    base: float
    log_odds: pd.Series
    p_overdue: pd.Series


@dataclass(frozen=True)
class ScoreChange:
    """Parts of the change of some scores; see :mod:`overdue_ml.explain.change`.

    Attributes
    ----------
    data, model : pandas.DataFrame, shape (n_customers, n_reasons)
        In log-odds, indexed by customer.
    base : float
    calibration, total : pandas.Series
        In log-odds; ``total`` is the change of the calibrated log-odds, to which all parts add up.
    p_then, p_now : pandas.Series
        Calibrated probabilities.
    """

    data: pd.DataFrame
    model: pd.DataFrame
    base: float
    calibration: pd.Series
    total: pd.Series
    p_then: pd.Series
    p_now: pd.Series

    def customer(self, customer_id: str) -> pd.DataFrame:
        """The parts of one customer's change.

        Parameters
        ----------
        customer_id : str

        Returns
        -------
        pandas.DataFrame
            part ('data', 'model', 'base', 'calibration'), reason_code (empty for the last two), change.

        Raises
        ------
        ConfigError
            If the customer has not both scores.
        """
        if customer_id not in self.total.index:
            raise ConfigError(
                f"customer '{customer_id[:80]}' was not scored both times",
                next_step="check the id character by character; leading zeros count",
            )
        return self._table(pd.Series(self.total.index == customer_id, index=self.total.index))

    def book(self, tiers: pd.Series | None = None) -> pd.DataFrame:
        """Mean parts of everybody, and of each tier.

        Parameters
        ----------
        tiers : pandas.Series of str, optional
            Tier of each customer, indexed alike: as a rule that of then.

        Returns
        -------
        pandas.DataFrame
            tier ('all' first), n_customers, part, reason_code, change. Of each tier the changes add up to the
            mean change of its calibrated log-odds.
        """
        groups = {"all": pd.Series(True, index=self.total.index)}
        if tiers is not None:
            known = tiers.reindex(self.total.index)
            groups |= {str(name): known == name for name in sorted(known.dropna().unique())}
        found = []
        for name, rows in groups.items():
            table = self._table(rows)
            table.insert(0, "n_customers", int(rows.sum()))
            table.insert(0, "tier", name)
            found.append(table)
        return pd.concat(found, ignore_index=True)

    def sentences(
        self, customer_id: str, wording: Wording, then: str, now: str, silent: Collection[str] = ()
    ) -> list[str]:
        """One customer's change in words, the largest reasons first.

        Parameters
        ----------
        customer_id : str
        wording : Wording
            In 'en' or 'zh'.
        then, now : str
            What the two scores are called, as their dates.
        silent : collection of str
            Reasons that are never told, as those with a protected attribute in them; they count among the
            others.
        """
        lang, table = wording.language, self.customer(customer_id)
        sums = table.groupby("part")["change"].sum()
        parts = ("data", "model", "base", "calibration")
        total = float(self.total[customer_id])
        # So that what is shown adds up.
        hundredths = round_to_total([float(sums.get(part, 0.0)) for part in parts], total)
        shown = {part: f"{n / 100:+.2f}" for part, n in zip(parts, hundredths, strict=True)}
        told = [
            say(
                lang, "changed", first=then, second=now, change=f"{round(100 * total) / 100:+.2f}",
                then=wording.format_number(float(self.p_then[customer_id]), "ratio"),
                now=wording.format_number(float(self.p_now[customer_id]), "ratio"),
            ),
            say(lang, "parts", **shown),
        ]  # fmt: skip
        lines = table[table["part"].isin(["data", "model"])]
        size = lines["change"].abs().where(~lines["reason_code"].isin(list(silent)), -1.0).to_numpy()
        order = np.argsort(-size, kind="stable")
        n = min(int((size >= _VISIBLE).sum()), _MOST)
        for row in lines.iloc[order[:n]].to_dict("records"):
            code = str(row["reason_code"])
            title = wording.title(code) if code in wording.reasons else code
            told.append(say(lang, f"part_{row['part']}", title=title, change=f"{row['change']:+.2f}"))
        rest = float(lines["change"].to_numpy()[order[n:]].sum())
        return told if abs(rest) < _VISIBLE else [*told, say(lang, "others", change=f"{rest:+.2f}")]

    def _table(self, rows: pd.Series) -> pd.DataFrame:
        """Mean parts of some customers."""
        here = rows.to_numpy()
        lines = [
            (part, str(code), _mean(frame[code].to_numpy()[here]))
            for part, frame in (("data", self.data), ("model", self.model))
            for code in frame.columns
        ]
        lines.append(("base", "", self.base))
        lines.append(("calibration", "", _mean(self.calibration.to_numpy()[here])))
        return pd.DataFrame(lines, columns=["part", "reason_code", "change"])


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else 0.0


def calibrated_log_odds(p_overdue: pd.Series) -> FloatArray:
    """Log-odds of probabilities; 0 and 1 count as ``EDGE`` away from themselves."""
    p = np.clip(p_overdue.to_numpy(dtype=np.float64), EDGE, 1.0 - EDGE)
    return np.asarray(np.log(p) - np.log1p(-p))


def score_change(
    model_then: ScoringModel, features_then: pd.DataFrame, model_now: ScoringModel, features_now: pd.DataFrame
) -> ScoreChange:
    """Split the change from one model's scores to another's, or the same one's on other features.

    Parameters
    ----------
    model_then : ScoringModel
    features_then : pandas.DataFrame
        Indexed by customer; the columns of ``model_then``.
    model_now : ScoringModel
        The same for two dates of one model.
    features_now : pandas.DataFrame
        Indexed by customer; the columns of both models.

    Returns
    -------
    ScoreChange
        Of the customers who stand in both frames, in the order of the first.

    Raises
    ------
    ModelError
        If a column is missing, nobody stands in both, or the parts do not add up.
    """
    both = features_then.index[features_then.index.isin(features_now.index)]
    now = features_now.loc[both]
    then = scores_of(model_then, features_then.loc[both])
    between = scores_of(model_then, now)
    last = between if model_now is model_then else scores_of(model_now, now)
    return split_change(then, between.by_reason, last)


def scores_of(model: ScoringModel, features: pd.DataFrame) -> Scores:
    """Scores and contributions by reason of one model.

    Parameters
    ----------
    model : ScoringModel
    features : pandas.DataFrame
        Indexed by customer; the columns of the model and maybe others.

    Raises
    ------
    ModelError
        If a column is missing, or contributions do not add up.
    """
    missing = sorted(set(model.feature_names) - set(features.columns))
    if missing:
        raise ModelError(
            f"{len(missing)} feature(s) of the model are missing, first '{missing[0]}'",
            expected="the columns of both models in the features of now",
        )
    own = features[model.feature_names]
    log_odds = model.classifier.decision_function(own)
    found = explain_scores(model.classifier, own, log_odds)
    p = model.classifier.calibrator_.predict(log_odds)
    return Scores(
        sum_by_reason(found.values, model.reasons),
        found.base,
        pd.Series(log_odds, index=own.index),
        pd.Series(p, index=own.index),
    )


def split_change(then: Scores, between: pd.DataFrame, now: Scores) -> ScoreChange:
    """Split the change between scores that stand there already.

    Parameters
    ----------
    then, now : Scores
        Of the same customers in the same order.
    between : pandas.DataFrame
        Contributions by reason of the model of then on the features of now: those of ``now`` where the model
        is the same, those of ``then`` where the features are.

    Returns
    -------
    ScoreChange

    Raises
    ------
    ModelError
        If nobody is there, the customers differ, or the parts do not add up.
    """
    index = then.log_odds.index
    if not len(index) or not all(index.equals(other) for other in (between.index, now.log_odds.index)):
        raise ModelError("there is nobody who was scored both times", expected="the same customers")
    codes = sorted({*then.by_reason.columns, *between.columns, *now.by_reason.columns})
    first, middle, last = (
        frame.reindex(columns=codes, fill_value=0.0) for frame in (then.by_reason, between, now.by_reason)
    )
    data, model, base = middle - first, last - middle, now.base - then.base
    z_then, z_now = calibrated_log_odds(then.p_overdue), calibrated_log_odds(now.p_overdue)
    calibration = (z_now - now.log_odds.to_numpy()) - (z_then - then.log_odds.to_numpy())
    total = z_now - z_then
    added = data.to_numpy().sum(axis=1) + model.to_numpy().sum(axis=1) + base + calibration
    worst = float(np.abs(added - total).max())
    if not worst <= TOLERANCE:
        raise ModelError(
            f"the parts of a change do not add up (largest gap {worst:.3g})",
            expected=f"at most {TOLERANCE:g}",
            next_step="nothing was written; score again",
        )
    return ScoreChange(
        data,
        model,
        base,
        pd.Series(calibration, index=index),
        pd.Series(total, index=index),
        then.p_overdue,
        now.p_overdue,
    )
