"""What each family of features is worth: the model without it, and with it alone beside the accounts.

Two parts in one run. A synthetic lender whose true probabilities are known (``overdue_ml.simulate``), several
as_of dates, tested on later ones; and the ten folds of ``accuracy_taiwan.py``. ``README.md`` beside this
script explains the protocol. Example: ``python benchmarks/accuracy_families.py --customers 6000``.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from accuracy_report import METRICS, OURS, compute_difference, format_difference, format_table
from accuracy_taiwan import (
    ECE_OPTIONS,
    N_SPLITS,
    RECORDS,
    RESULTS,
    SEEDS,
    build_ours,
    compute_metrics,
    fit_predict_ours,
    parse_date,
    parse_seeds,
    report_progress,
)
from numpy.typing import NDArray
from results_page import write_section
from sklearn.model_selection import StratifiedKFold
from taiwan_flat import build_flat, load_tables

from overdue_ml import OverdueClassifier, load_records, simulate
from overdue_ml.config import LabelsConfig
from overdue_ml.features import available_features, build_features, default_registry
from overdue_ml.labels import label_customers, split_by_time, trainable
from overdue_ml.metrics import (
    Interval,
    compute_auc,
    compute_brier,
    compute_ece,
    compute_gini,
    compute_log_loss,
    paired_difference,
)

ALL, RANKED, REPLACED = "all features", "all and their ranks", "ranks in place of what they rank"
#: The months before have no history to speak of; no outcome of the last three is in a training label.
FIRST, MONTHS, TRAIN_DATES, TEST_DATES = "2022-01-01", 24, 9, 3
#: The process changes in the month that follows the first test date.
DRIFT_FROM = "2023-10-01"
#: By how much every amount grows between training and test, in the scenario of rising prices.
PRICES = 1.3
#: What the reference run of ``accuracy_taiwan.py`` has to reach, to four digits.
FLOORS = {"auc": 0.7905, "brier": 0.1326, "pooled_ece": 0.007}
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """The margin and the probability that one model gives each test row."""

    log_odds: Floats
    p: Floats


@dataclass(frozen=True)
class Book:
    """A synthetic lender's rows.

    Attributes
    ----------
    features : DataFrame
        With ranks, of all rows.
    later : DataFrame
        Of the test rows, where every amount is ``PRICES`` times as high.
    y : ndarray of int
    train, test : ndarray of bool
    truth : ndarray of float
        True probability of the test rows.
    """

    features: pd.DataFrame
    later: pd.DataFrame
    y: NDArray[np.int64]
    train: NDArray[np.bool_]
    test: NDArray[np.bool_]
    truth: Floats


def draw_book(customers: int, seed: int, drift: bool) -> Book:
    """Simulate a lender, label it and build its features.

    Parameters
    ----------
    customers, seed : int
    drift : bool
        Whether the process changes after the training dates.
    """
    drifts: Any = DRIFT_FROM if drift else False
    tables = simulate(customers, seed=seed, start=FIRST, months=MONTHS, drift=drifts)
    truth = tables.pop("truth").to_pandas()
    truth["as_of_date"] = pd.to_datetime(truth["as_of_date"]).astype("datetime64[s]")
    records = load_records(tables)
    ends = pd.date_range("2023-11-30", periods=TRAIN_DATES + TEST_DATES + 1, freq="-1ME")[::-1]
    rules = LabelsConfig(source="instalments", grace_days=3)
    labels = trainable(label_customers(records, [str(d.date()) for d in ends], rules))
    train, test = split_by_time(labels, TEST_DATES)
    registry = default_registry(ranks=True)
    names = available_features(records, registry)
    dates = [d.date() for d in labels.index.unique("as_of_date")]
    features = build_features(records, dates, names, registry=registry).loc[labels.index]
    dearer = load_records({name: _dearer(table) for name, table in tables.items()})
    later = build_features(dearer, dates[-TEST_DATES:], names, registry=registry).loc[labels.index[test]]
    known = truth.set_index(["customer_id", "as_of_date"])["p_overdue"]
    return Book(
        features,
        later,
        labels["is_overdue"].to_numpy().astype(np.int64),
        train,
        test,
        known.reindex(labels.index[test]).to_numpy(dtype=np.float64),
    )


def _dearer(table: pa.Table) -> pa.Table:
    """The table with every amount ``PRICES`` times as high."""
    for place, name in enumerate(table.column_names):
        if name == "amount" or name.endswith(("_amount", "_due")):
            table = table.set_column(place, name, pc.multiply(table.column(name), PRICES))
    return table


def family_of(name: str) -> str:
    """First part of a feature's name."""
    return name.partition("_")[0]


def families(names: Iterable[str]) -> list[str]:
    """The families that occur, in order."""
    return list(dict.fromkeys(family_of(name) for name in names))


def names_of(features: pd.DataFrame) -> list[str]:
    """Names of the columns."""
    return [str(name) for name in features.columns]


def variants(columns: Sequence[str]) -> dict[str, list[str]]:
    """Columns of every model of the synthetic lender, by its title."""
    base = [name for name in columns if not name.endswith("_rank")]
    ranks = [name for name in columns if name.endswith("_rank")]
    ranked = {name.removesuffix("_rank") for name in ranks}
    found = {ALL: base}
    for family in families(base):
        found[f"without {family}"] = [name for name in base if family_of(name) != family]
    accounts = [name for name in base if family_of(name) == "account"]
    found["account alone"] = accounts
    for family in families(base):
        if family != "account":
            found[f"account and {family}"] = [name for name in base if family_of(name) in ("account", family)]
    found[RANKED] = [*base, *ranks]
    found[REPLACED] = [*(name for name in base if name not in ranked), *ranks]
    return found


def score_lender(
    book: Book, title: str, report: Callable[[str], None]
) -> tuple[dict[str, Scores], dict[str, Scores]]:
    """Train every variant, and score the test rows as they are and with dearer amounts."""
    part = book.features[book.train]
    scored, later = {}, {}
    for name, columns in variants(names_of(book.features)).items():
        started = time.perf_counter()
        model = OverdueClassifier().fit(
            part[columns],
            book.y[book.train],
            groups=part.index.get_level_values("customer_id"),
            dates=part.index.get_level_values("as_of_date"),
        )
        scored[name] = _score(model, book.features.loc[book.test, columns])
        if name in (ALL, RANKED, REPLACED):
            later[name] = _score(model, book.later[columns])
        report(f"{title}, {name}: {len(columns)} columns, {time.perf_counter() - started:.1f} s")
    return scored, later


def _score(model: OverdueClassifier, rows: pd.DataFrame) -> Scores:
    log_odds = model.decision_function(rows)
    return Scores(log_odds, model.calibrator_.predict(log_odds))


def format_interval(interval: Interval) -> str:
    """Return ``-0.0012 [-0.0020, -0.0004]``."""
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"


def lender_table(book: Book, scored: dict[str, Scores], n_boot: int) -> str:
    """Figures of every variant on the test rows, and paired differences to the first."""
    y = book.y[book.test]
    customers = book.features.index[book.test].get_level_values("customer_id").to_numpy()
    best = compute_gini(y, book.truth)
    first = next(iter(scored.values()))
    body = []
    for name, given in scored.items():
        cells = [name, f"{compute_auc(y, given.log_odds):.4f}"]
        cells += [f"{compute_log_loss(y, given.p):.4f}", f"{compute_brier(y, given.p):.4f}"]
        cells += [f"{compute_ece(y, given.p, **ECE_OPTIONS):.4f}"]
        cells += [f"{100 * compute_gini(y, given.log_odds) / best:.1f} %"]
        if given is first:
            cells += ["-", "-"]
        else:
            auc = paired_difference(
                compute_auc, y, (given.log_odds, first.log_odds), groups=customers, n_boot=n_boot
            )
            loss = paired_difference(compute_log_loss, y, (given.p, first.p), groups=customers, n_boot=n_boot)
            cells += [format_interval(auc), format_interval(loss)]
        body.append(cells)
    truth = book.truth
    figures = [compute_auc(y, truth), compute_log_loss(y, truth), compute_brier(y, truth)]
    figures.append(compute_ece(y, truth, **ECE_OPTIONS))
    body.append(["the true probability", *(f"{value:.4f}" for value in figures), "100.0 %", "-", "-"])
    heads = ["Model", "AUC", "Log loss", "Brier", "ECE", "Share of the truth's Gini"]
    return format_table([*heads, "AUC, difference", "Log loss, difference"], body)


def run_lender(customers: int, seed: int, n_boot: int, report_for: Callable[[int], Any]) -> list[str]:
    """Both lenders, with and without drift; Markdown."""
    parts = []
    for drift in (False, True):
        book = draw_book(customers, seed, drift)
        words = "with drift" if drift else "without drift"
        n = len(variants(names_of(book.features)))
        with report_for(n) as report:
            scored, later = score_lender(book, words, report)
        days = book.features.index.get_level_values("as_of_date")
        train, test = days[book.train].unique(), days[book.test].unique()
        late = book.y[book.test].mean()
        parts += [
            f"### Synthetic lender, {words}",
            f"{customers:,} synthetic customers; trained on {int(book.train.sum()):,} rows of {len(train)} "
            f"month ends ({train.min().date()} to {train.max().date()}), tested on "
            f"{int(book.test.sum()):,} rows of {len(test)} later ones ({test.min().date()} to "
            f"{test.max().date()}), {100 * late:.1f} % of which went overdue.",
            lender_table(book, scored, n_boot),
        ]
        if not drift:
            parts += [
                f"The same models, and every amount {PRICES} times as high on the test dates:",
                lender_table(book, later, n_boot),
            ]
    return parts


def run_taiwan(
    seeds: Sequence[int], folds: int, report_for: Callable[[int], Any]
) -> tuple[pd.DataFrame, dict[str, list[float]]]:
    """Our model on the folds of ``accuracy_taiwan.py``, with all features and without each family.

    Returns
    -------
    rows : DataFrame
        One row a model, seed and fold.
    pooled : dict of str to list of float
        ECE over the test customers of each seed.
    """
    flat = build_flat(load_tables(RECORDS))
    ids, y = flat.index.to_numpy(str), flat["y"].to_numpy()
    features = build_ours(RECORDS).loc[ids]
    names = names_of(features)
    sets = {OURS: names}
    for family in families(names):
        sets[f"without {family}"] = [name for name in names if family_of(name) != family]
    rows: list[dict[str, Any]] = []
    pooled: dict[str, list[float]] = {name: [] for name in sets}
    with report_for(len(sets) * len(seeds) * folds) as report:
        for seed in seeds:
            splitter = StratifiedKFold(N_SPLITS, shuffle=True, random_state=seed)
            splits = list(splitter.split(ids, y))[:folds]
            seen: dict[str, list[Floats]] = {name: [] for name in sets}
            for fold, (train, test) in enumerate(splits):
                for name, columns in sets.items():
                    found = fit_predict_ours(features[columns], y[train], ids[train], ids[test])
                    values = compute_metrics(y[test], found)
                    sizes = {"n_train": len(train), "n_test": len(test), "n_features": len(columns)}
                    rows.append({"model": name, "seed": seed, "fold": fold} | values | sizes)
                    seen[name].append(found.probability)
                    report(f"Taiwan, seed {seed} fold {fold}, {name}: AUC {values['auc']:.4f}")
            tested = y[np.concatenate([test for _, test in splits])]
            for name, given in seen.items():
                pooled[name].append(float(compute_ece(tested, np.concatenate(given), **ECE_OPTIONS)))
    return pd.DataFrame(rows), pooled


def taiwan_tables(rows: pd.DataFrame, pooled: dict[str, list[float]]) -> list[str]:
    """Means over the folds, paired differences, and whether the floors are reached; Markdown."""
    heads = [heading for *_, heading in METRICS.values()]
    means, differences = [], []
    for name, ece in pooled.items():
        mine = rows[rows["model"] == name]
        label = ALL if name == OURS else name
        figures = [f"{mine[metric].mean():.4f}" for metric in METRICS]
        n = str(int(mine["n_features"].iloc[0]))
        means.append([label, n, *figures, " / ".join(f"{value:.4f}" for value in ece)])
        if name != OURS:
            cells = [format_difference(compute_difference(rows, name, metric)) for metric in METRICS]
            cells.insert(1, format_difference(compute_difference(rows, name, "auc"), "se_corrected"))
            differences.append([label, *cells])
    ours = rows[rows["model"] == OURS]
    reached = {
        f"AUC {ours['auc'].mean():.4f} (at least {FLOORS['auc']:.4f})": round(ours["auc"].mean(), 4)
        >= FLOORS["auc"],
        f"Brier {ours['brier'].mean():.4f} (at most {FLOORS['brier']:.4f})": round(ours["brier"].mean(), 4)
        <= FLOORS["brier"],
        f"pooled ECE {max(pooled[OURS]):.4f} (at most {FLOORS['pooled_ece']:.4f})": max(pooled[OURS])
        <= FLOORS["pooled_ece"],
    }
    told = "; ".join(f"{what}: {'reached' if is_so else 'MISSED'}" for what, is_so in reached.items())
    n_folds = len(ours)
    return [
        f"### Taiwan credit cards, {n_folds} folds",
        format_table(["Model", "Features", *heads, "Pooled ECE"], means),
        "Without a family minus all features, ± paired standard error ('corrected': Nadeau and Bengio):",
        format_table(["Model", heads[0], "AUC, corrected", *heads[1:]], differences),
        f"With all features {told}.",
    ]


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the options; exits with code 2 when they are wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--customers", type=int, default=6000, help="of the lender; 0 leaves it out (default: 6000)")
    add("--seed", type=int, default=0, help="of the synthetic lender (default: 0)")
    add("--boot", type=int, default=200, help="bootstrap resamples of the differences (default: 200)")
    add("--seeds", type=parse_seeds, default=",".join(map(str, SEEDS)), metavar="N,N", help="Taiwan shuffles")
    add("--folds", type=int, default=N_SPLITS, choices=range(N_SPLITS + 1), help="Taiwan; 0 leaves it out")
    add("--write", action="store_true", help="write RESULTS.md; needs --date")
    add("--date", type=parse_date, metavar="YYYY-MM-DD", help="date to write; the clock is never read")
    arguments = parser.parse_args(argv)
    if arguments.write and arguments.date is None:
        parser.error("--write needs --date YYYY-MM-DD")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """Run both parts, print the tables and write them where asked."""
    arguments = parse_arguments(argv)
    started = time.perf_counter()
    parts: list[str] = []
    if arguments.customers:
        parts += run_lender(arguments.customers, arguments.seed, arguments.boot, report_progress)
    if arguments.folds:
        parts += taiwan_tables(*run_taiwan(arguments.seeds, arguments.folds, report_progress))
    seconds = time.perf_counter() - started
    text = "\n\n".join(parts)
    print(text)
    print(f"\n{seconds:.0f} s", file=sys.stderr)
    if arguments.write:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        command = f"python benchmarks/accuracy_families.py --customers {arguments.customers}"
        command += f" --seed {arguments.seed} --folds {arguments.folds} --write --date {arguments.date}"
        facts = (
            f"{arguments.date}, {os.cpu_count()} cores, {memory:.1f} GiB, {platform.system()}, "
            f"{seconds / 60:.0f} minutes: `{command}`"
        )
        note = (
            "Differences are to the first model of a table: a lower AUC and a higher log loss are worse. "
            "Brackets hold 95 % intervals of a paired bootstrap over customers."
        )
        title = "## What each family of features is worth"
        write_section(RESULTS / "RESULTS.md", "accuracy_families", title, facts, note, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
