"""Compare overdue_ml with common credit-risk models on the Taiwan credit card data (`make bench`).

Five stratified folds for each seed, everything fitted inside the fold, the official label. The
peers get the classical flat table of 23 raw columns; overdue_ml gets the features it builds from
the same statements. ``README.md`` beside this script explains the protocol and the columns.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib
import os
import platform
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy_models import MODEL_SEED, MODELS, Task
from accuracy_report import METRICS, format_summary, summarise, write_results
from numpy.typing import NDArray
from taiwan_flat import CATEGORIES, RAW_COLUMNS, BenchError, build_flat, load_tables

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "data" / "taiwan"
RESULTS = ROOT / "benchmarks"
AS_OF = "2005-09-30"
N_SPLITS = 5
SEEDS = (0, 1)
PACKAGES = [
    "overdue_ml",
    "numpy",
    "pandas",
    "scikit-learn",
    "lightgbm",
    "catboost",
    "xgboost",
    "optbinning",
    "optuna",
    "interpret-core",
    "ortools",
    "protobuf",
]

ECE_OPTIONS: dict[str, Any] = {"n_bins": 10, "strategy": "quantile"}


@dataclass(frozen=True)
class Prediction:
    """What one model says about one test fold.

    Attributes
    ----------
    score : ndarray, shape (n_test,)
        To rank on: the margin of overdue_ml, the probability of a peer.
    probability : ndarray, shape (n_test,)
        Probability of being overdue.
    fit_seconds : float
        Wall time of ``fit`` alone.
    """

    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    fit_seconds: float


def build_ours(folder: Path, attributes: tuple[str, ...] = ()) -> pd.DataFrame:
    """Build overdue_ml's features once; a row depends only on its own customer's rows.

    Returns
    -------
    DataFrame, shape (30000, n_features)
        Indexed by customer id.
    """
    om = importlib.import_module("overdue_ml")
    records = om.load_records(folder, om.RecordsConfig(attributes=list(attributes)))
    features: pd.DataFrame = om.build_features(records, as_of=AS_OF)
    return features.droplevel("as_of_date")


def fit_predict_ours(
    features: pd.DataFrame,
    y_train: NDArray[np.int64],
    train_ids: NDArray[Any],
    test_ids: NDArray[Any],
) -> Prediction:
    """Fit the default overdue_ml pipeline on one fold and score its test customers.

    Parameters
    ----------
    features : DataFrame
        From `build_ours`.
    y_train : ndarray of int, shape (n_train,)
        Labels of the training customers only.
    train_ids, test_ids : ndarray of str
        Customer ids of the fold.

    Returns
    -------
    Prediction
        Ranked on the margin.
    """
    om = importlib.import_module("overdue_ml")
    X_train, X_test = features.loc[train_ids], features.loc[test_ids]
    classifier = om.OverdueClassifier(random_state=MODEL_SEED)
    started = time.perf_counter()
    classifier.fit(X_train, y_train, groups=train_ids)
    seconds = time.perf_counter() - started
    return Prediction(classifier.decision_function(X_test), classifier.predict_proba(X_test)[:, 1], seconds)


def fit_predict(name: str, task: Task, train: NDArray[np.intp], test: NDArray[np.intp]) -> Prediction:
    """Fit one model on one fold and score its test customers.

    Parameters
    ----------
    name : str
        A key of `MODELS`.
    task : Task
        All customers.
    train, test : ndarray of int
        Positions of the fold's customers.

    Returns
    -------
    Prediction
        For the test customers, in their order.
    """
    build = MODELS[name].build
    if build is None:
        return fit_predict_ours(task.features[name], task.y[train], task.ids[train], task.ids[test])
    estimator = build(os.cpu_count() or 1, task)
    started = time.perf_counter()
    estimator.fit(task.raw.iloc[train], task.y[train])
    seconds = time.perf_counter() - started
    probability = estimator.predict_proba(task.raw.iloc[test])[:, 1]
    return Prediction(probability, probability, seconds)


def compute_metrics(y: NDArray[np.int64], prediction: Prediction) -> dict[str, float]:
    """Return every metric of `METRICS` on one test fold."""
    library = importlib.import_module("overdue_ml.metrics")
    values = {}
    for metric, (function, ranks, _) in METRICS.items():
        given = prediction.score if ranks else prediction.probability
        options = ECE_OPTIONS if metric == "ece" else {}
        values[metric] = float(getattr(library, function)(y, given, **options))
    return values


@contextmanager
def report_progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yield a function to call after each fit: a bar on a terminal, a plain line elsewhere."""
    if not sys.stderr.isatty():
        counter = iter(range(1, total + 1))
        yield lambda text: print(f"[{next(counter)}/{total}] {text}", file=sys.stderr, flush=True)
        return
    console = importlib.import_module("rich.console").Console(stderr=True)
    with importlib.import_module("rich.progress").Progress(console=console) as bar:
        row = bar.add_task("starting", total=total)
        yield lambda text: bar.update(row, advance=1, description=text)


def run_folds(
    task: Task, names: Sequence[str], seeds: Sequence[int], folds: int
) -> tuple[pd.DataFrame, dict[str, dict[str, float]]]:
    """Fit every model on every fold.

    Parameters
    ----------
    task : Task
        All customers.
    names : sequence of str
        Keys of `MODELS`.
    seeds : sequence of int
        Seeds of the shuffles.
    folds : int
        How many of the five folds of each seed to run.

    Returns
    -------
    rows : DataFrame
        One row per model, seed and fold: metrics, fit_seconds, n_train, n_test.
    pooled_ece : dict
        ``pooled_ece[model][seed]``: ECE over all test customers of a seed.
    """
    selection = importlib.import_module("sklearn.model_selection")
    library = importlib.import_module("overdue_ml.metrics")
    rows: list[dict[str, Any]] = []
    pooled: dict[str, dict[str, float]] = {name: {} for name in names}
    with report_progress(len(names) * len(seeds) * folds) as report:
        for seed in seeds:
            splitter = selection.StratifiedKFold(N_SPLITS, shuffle=True, random_state=seed)
            splits = list(splitter.split(task.raw, task.y))[:folds]
            seen: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
            for fold, (train, test) in enumerate(splits):
                for name in names:
                    prediction = fit_predict(name, task, train, test)
                    values = compute_metrics(task.y[test], prediction)
                    seconds = prediction.fit_seconds
                    sizes = {"n_train": len(train), "n_test": len(test)}
                    row = {"model": name, "seed": seed, "fold": fold}
                    rows.append(row | values | {"fit_seconds": seconds} | sizes)
                    seen[name].append(prediction.probability)
                    report(f"seed {seed} fold {fold} {name}: AUC {values['auc']:.4f}, fit {seconds:.1f} s")
            y = task.y[np.concatenate([test for _, test in splits])]
            for name in names:
                probability = np.concatenate(seen[name])
                pooled[name][str(seed)] = float(library.compute_ece(y, probability, **ECE_OPTIONS))
    return pd.DataFrame(rows), pooled


def describe_run(arguments: argparse.Namespace, feature_seconds: float | None) -> dict[str, Any]:
    """Return what a reader needs to repeat the run: command, machine, packages, protocol.

    The records folder is left out of the command, so that no machine's path gets into a file.
    """
    command = ["python", "benchmarks/accuracy_taiwan.py", "--models", ",".join(arguments.models)]
    command += ["--seeds", ",".join(map(str, arguments.seeds)), "--folds", str(arguments.folds)]
    command += ["--write", "--date", str(arguments.date)] if arguments.write else []
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "benchmark": "accuracy_taiwan",
        "title": "Accuracy on the Taiwan credit card data",
        "date": arguments.date,
        "command": shlex.join(command),
        "machine": {"cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.system()},
        "packages": {"python": platform.python_version()} | versions,
        "complete": (arguments.models, arguments.seeds, arguments.folds)
        == (list(MODELS), list(SEEDS), N_SPLITS),
        "feature_seconds": feature_seconds,
    }


def parse_models(text: str) -> list[str]:
    """Return the model names of a comma-separated list, in the table's order."""
    names = text.split(",")
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}: choose from {', '.join(MODELS)}")
    return [name for name in MODELS if name in names]


def parse_seeds(text: str) -> list[int]:
    """Return the distinct seeds of a comma-separated list."""
    return list(dict.fromkeys(int(seed) for seed in text.split(",")))


def parse_date(text: str) -> str:
    """Return an ISO date unchanged."""
    return dt.date.fromisoformat(text).isoformat()


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; exits with code 2 when they are wrong."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog="models:\n" + "\n".join(f"  {name:<14} {model.label}" for name, model in MODELS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names, seeds = ",".join(MODELS), ",".join(map(str, SEEDS))
    add = parser.add_argument
    add("--models", type=parse_models, default=names, metavar="A,B", help="models to run (default: all)")
    add("--seeds", type=parse_seeds, default=seeds, metavar="N,N", help=f"shuffle seeds (default: {seeds})")
    add(
        "--folds",
        type=int,
        default=N_SPLITS,
        choices=range(1, N_SPLITS + 1),
        help="run only the first so many of the five folds of each seed (default: 5)",
    )
    add("--records", type=Path, default=RECORDS, metavar="DIR", help="records (default: data/taiwan)")
    add("--write", action="store_true", help="write the JSON file and RESULTS.md; needs --date")
    add("--date", type=parse_date, metavar="YYYY-MM-DD", help="date to write; the clock is never read")
    arguments = parser.parse_args(argv)
    if arguments.write and arguments.date is None:
        parser.error("--write needs --date YYYY-MM-DD")
    return arguments


def check_packages(names: Sequence[str]) -> None:
    """Import every package the models need, so that imports are not timed.

    Raises
    ------
    BenchError
        If one cannot be imported; says how to install them.
    """
    for package in dict.fromkeys(package for name in names for package in MODELS[name].packages):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise BenchError(
                f"cannot import {package} ({error}). Install the peers with\n"
                "  pip install --require-hashes -r benchmarks/requirements.lock\n"
                "or leave the model out with --models."
            ) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0, or 2 when it cannot run."""
    arguments = parse_arguments(argv)
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    try:
        check_packages(arguments.models)
        flat = build_flat(load_tables(arguments.records))
        features: dict[str, pd.DataFrame] = {}
        feature_seconds = None
        for name in arguments.models:
            if MODELS[name].build is None:
                started = time.perf_counter()
                features[name] = build_ours(arguments.records, MODELS[name].attributes)
                feature_seconds = time.perf_counter() - started
    except BenchError as error:
        print(f"accuracy_taiwan: {error}", file=sys.stderr)
        return 2
    task = Task(flat.index.to_numpy(str), flat["y"].to_numpy(), flat[RAW_COLUMNS], features, CATEGORIES)
    with warnings.catch_warnings():
        # optbinning calls scikit-learn options that are on their way out, once per column and fold.
        warnings.simplefilter("ignore", FutureWarning)
        rows, pooled = run_folds(task, arguments.models, arguments.seeds, arguments.folds)
    summary = summarise(rows, pooled, {name: MODELS[name].label for name in pooled})
    print(format_summary(summary))
    if arguments.write:
        write_results(RESULTS, describe_run(arguments, feature_seconds), summary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
