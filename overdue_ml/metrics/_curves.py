"""The cumulative gain curve, from which every ranking metric is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from overdue_ml.metrics._checks import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class GainCurve:
    """What is found while working down a ranking from the highest score.

    Equal scores enter together, so the order of the rows never matters.

    Attributes
    ----------
    rows : ndarray of shape (n_distinct_scores + 1,)
        Weight of the rows worked so far; starts at 0, strictly increasing.
    hits : ndarray of shape (n_distinct_scores + 1,)
        Overdue weight (or overdue money) found so far; starts at 0.
    """

    rows: FloatArray
    hits: FloatArray

    @classmethod
    def build(cls, score: FloatArray, hit: FloatArray, weight: FloatArray) -> GainCurve:
        """Sort by `score`, highest first, and add up `hit` and `weight`, all of shape (n,)."""
        if not weight.all():
            # A row without weight would add a point where precision is 0 / 0.
            score, hit, weight = score[weight > 0], hit[weight > 0], weight[weight > 0]
        # A stable sort takes linear time on the presorted rows the bootstrap hands in.
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), ranked.size - 1)
        rows = np.concatenate(([0.0], np.cumsum(weight[order])[last]))
        hits = np.concatenate(([0.0], np.cumsum(hit[order])[last]))
        return cls(rows=rows, hits=hits)

    def auc(self) -> float:
        """Area under the ROC curve, ties counted half."""
        misses = self.rows - self.hits
        area = np.sum(np.diff(misses) * (self.hits[1:] + self.hits[:-1])) / 2
        return float(area / (self.hits[-1] * misses[-1]))

    def ks(self) -> float:
        """Largest gap between the two classes' cumulative shares."""
        misses = self.rows - self.hits
        return float(np.max(np.abs(self.hits / self.hits[-1] - misses / misses[-1])))

    def average_precision(self) -> float:
        """Precision averaged over the steps in recall."""
        precision = self.hits[1:] / self.rows[1:]
        return float(np.sum(np.diff(self.hits) * precision) / self.hits[-1])

    def captured(self, share: FloatArray) -> FloatArray:
        """Share of the hits among the top `share` of the rows; linear inside a tie."""
        found = np.interp(share * self.rows[-1], self.rows, self.hits)
        return np.asarray(found / self.hits[-1], dtype=np.float64)
