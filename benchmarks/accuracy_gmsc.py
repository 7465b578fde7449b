"""Compare ``OverdueClassifier`` with common credit-risk models on 'Give Me Some Credit'.

150,000 borrowers, ten raw columns, one date: here every model gets the same flat table, so that this compares
the classifiers alone. The data are not part of this repository; give their folder.
Example: ``python benchmarks/accuracy_gmsc.py --data ../shared/data/gmsc --folds 3``.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
from accuracy_models import MODELS, Task
from accuracy_report import OURS, format_summary, summarise, write_results
from accuracy_taiwan import N_SPLITS, PACKAGES, RESULTS, check_packages, parse_date, run_folds

TARGET = "SeriousDlqin2yrs"
NAMES = [name for name in MODELS if name != "ours_education"]


def read_task(folder: Path) -> Task:
    """The borrowers in the order of the file."""
    table = pd.read_csv(folder / "cs-training.csv.zip", index_col=0).astype(float)
    ids = table.index.astype(str).to_numpy(str)
    raw = table.drop(columns=TARGET)
    # LightGBM and the binning refuse some signs in names.
    raw.columns = [name.replace("-", "_") for name in raw.columns]
    return Task(ids, table[TARGET].to_numpy().astype(int), raw, {OURS: raw.set_axis(ids)}, [])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0, or 2 without the data."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with cs-training.csv.zip")
    parser.add_argument("--models", default=",".join(NAMES), help="comma-separated (default: all)")
    parser.add_argument("--folds", type=int, default=N_SPLITS, choices=range(1, N_SPLITS + 1))
    parser.add_argument("--write", action="store_true", help="write JSON and RESULTS.md; needs --date")
    parser.add_argument("--date", type=parse_date, help="date to write; the clock is never read")
    args = parser.parse_args(argv)
    if args.write and args.date is None:
        parser.error("--write needs --date YYYY-MM-DD")
    names = [name for name in NAMES if name in args.models.split(",")]
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    check_packages(names)
    try:
        task = read_task(args.data)
    except FileNotFoundError:
        print("accuracy_gmsc: no cs-training.csv.zip in the folder given with --data", file=sys.stderr)
        return 2
    with warnings.catch_warnings():
        # optbinning calls scikit-learn options that are on their way out; EBM speaks of missing values.
        warnings.simplefilter("ignore")
        rows, pooled = run_folds(task, names, (0,), args.folds)
    summary = summarise(rows, pooled, {name: MODELS[name].label for name in names})
    print(format_summary(summary))
    if args.write:
        write_results(RESULTS, describe(args, names), summary)
    return 0


def describe(args: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """What a reader needs to repeat the run."""
    command = ["python", "benchmarks/accuracy_gmsc.py", "--data", "DIR", "--models", ",".join(names)]
    command += ["--folds", str(args.folds), "--write", "--date", args.date]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "benchmark": "accuracy_gmsc",
        "title": "Accuracy on 'Give Me Some Credit'",
        "date": args.date,
        "command": shlex.join(command),
        "machine": {"cores": os.cpu_count(), "memory_gib": round(memory, 1), "system": platform.system()},
        "packages": {"python": platform.python_version()}
        | {package: metadata.version(package) for package in PACKAGES},
        "complete": names == NAMES and args.folds == N_SPLITS,
        "feature_seconds": None,
    }


if __name__ == "__main__":
    sys.exit(main())
