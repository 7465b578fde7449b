"""Time and memory of ``OverdueClassifier.fit`` against bare ``lightgbm.train`` on the same matrix.

Ours trains one model for each of five folds, predicts the rows held out and calibrates. The peer that does
the same work trains five bare models with the same settings on as many rows; one bare model on all rows is
shown beside it. Each way in a process of its own. Example: ``python benchmarks/training.py``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
AS_OF = "2005-09-30"
REPEATS = 3


@dataclass(frozen=True)
class Result:
    """Seconds on the clock and of CPU of the fastest run, and the peak memory of the process."""

    seconds: float
    cpu: float
    peak_mb: float


def write_matrix(path: Path, copies: int) -> None:
    """The features and labels of the Taiwan customers, so many times with a little noise on amounts."""
    import overdue_ml as om

    records = om.load_records(ROOT / "data" / "taiwan")
    features = om.build_features(records, as_of=AS_OF)
    labels = records.frame("labels").set_index("customer_id")["is_overdue"]
    X, y = features.to_numpy(), labels.loc[features.index.get_level_values(0)].to_numpy().astype(float)
    rng = np.random.default_rng(0)
    parts = [X] + [X * (1.0 + 0.01 * rng.standard_normal(X.shape)) for _ in range(copies - 1)]
    np.savez(path, X=np.concatenate(parts), y=np.tile(y, copies), group=np.arange(copies * len(y)))


def best(run: Callable[[], Any]) -> Result:
    """Run a few times and keep the fastest."""
    found = []
    for _ in range(REPEATS):
        start, cpu = time.perf_counter(), time.process_time()
        run()
        found.append((time.perf_counter() - start, time.process_time() - cpu))
    return Result(*min(found), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def fit_ours(path: Path) -> Result:
    """The default classifier, with customers as groups."""
    from overdue_ml import OverdueClassifier

    data = np.load(path)
    X, y, group = data["X"], data["y"], data["group"]
    return best(lambda: OverdueClassifier().fit(X, y, groups=group))


def fit_bare(path: Path, members: int) -> Result:
    """Bare LightGBM with the same settings: five models of four fifths of the rows, or one of all."""
    import lightgbm as lgb

    from overdue_ml import OverdueClassifier

    data = np.load(path)
    X, y = data["X"], data["y"]
    chosen = OverdueClassifier().get_params()
    names = (
        "learning_rate",
        "num_leaves",
        "max_depth",
        "min_child_samples",
        "reg_lambda",
        "colsample_bytree",
    )
    params = {name: chosen[name] for name in (*names, "subsample", "max_bin")} | {
        "objective": "binary", "subsample_freq": 1, "verbosity": -1, "seed": 0, "deterministic": True,
        "force_col_wise": True, "num_threads": os.cpu_count(),
    }  # fmt: skip
    fold = np.random.default_rng(0).integers(0, members, len(y)) if members > 1 else np.full(len(y), -1)

    def run() -> None:
        for i in range(members):
            rows = fold != i
            # The whole matrix needs no copy, a part of it does.
            part = (X[rows], y[rows]) if members > 1 else (X, y)
            dataset = lgb.Dataset(
                part[0], label=part[1], params={"max_bin": chosen["max_bin"], "verbosity": -1}
            )
            lgb.train(params, dataset, num_boost_round=chosen["n_estimators"])

    return best(run)


def alone(job: Callable[..., Result | None], *words: object) -> Any:
    """Measure in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, *words).result()


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=1, help="how many times the 30,000 customers")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matrix.npz"
        alone(write_matrix, path, args.copies)
        five, one, ours = alone(fit_bare, path, 5), alone(fit_bare, path, 1), alone(fit_ours, path)
    for way, found in (
        ("lightgbm.train, five models", five),
        ("lightgbm.train, one model", one),
        ("overdue_ml, five models, calibrated", ours),
    ):
        print(
            f"{way:<36} {found.seconds:7.2f} s {found.cpu:7.2f} s of CPU, ours is "
            f"{ours.seconds / found.seconds:5.2f} x the time and {ours.peak_mb / found.peak_mb:5.2f} x the "
            f"memory (peak {found.peak_mb:,.0f} MB)"
        )


if __name__ == "__main__":
    main()
