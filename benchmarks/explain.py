"""Cost of exact SHAP contributions against a prediction, LightGBM's own and those of other packages.

One model on synthetic rows with gaps, whole numbers and categories, trained once for each depth, and the
default bag of ``OverdueClassifier``. Every way runs in a process of its own after a warm-up on a few rows; a
way that is too slow for all rows takes fewer of them, and all are compared by CPU time for each row. The
largest difference to ``pred_contrib`` and the bits of the scores are checked on the same rows. Packages that
do not go together with this one are measured in environments of their own, which need lightgbm, pandas and
the package alone: ``--peers fasttreeshap=/envs/a/bin/python,woodelf=/envs/b/bin/python``. Example:
``python benchmarks/explain.py --rows 100000``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import importlib.util
import json
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from results_page import write_section

HERE = Path(__file__).parent
TRAIN_ROWS = 100_000
REPEATS = 3
TOP = 5
#: Rows that contributions are taken against where they are interventional; the first ones.
BACKGROUND = 500
#: Rows whose interactions are measured.
PAIRS = 1000
FEW_ROWS = (1, 10, 100, 1000)
PACKAGES = {"shap": "shap.TreeExplainer", "fasttreeshap": "fasttreeshap v2", "woodelf": "woodelf"}
CATEGORIES = 12


@dataclass(frozen=True)
class Result:
    """What one way cost.

    Seconds on the clock and of CPU are those of the run with the least CPU; ``difference`` is the largest to
    ``pred_contrib``, ``same_scores`` whether the scores are LightGBM's bit for bit.
    """

    rows: int
    seconds: float
    cpu: float
    peak_mb: float
    build: float = 0.0
    table_mb: float = 0.0
    difference: float | None = None
    same_scores: bool | None = None

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for each row."""
        return 1e6 * self.cpu / self.rows


@dataclass(frozen=True)
class Job:
    """Where models and rows lie, and how many rows and threads a way may take."""

    folder: Path
    model: str
    rows: int
    checked: int
    threads: int

    def texts(self) -> list[str]:
        """Texts of the boosters."""
        return [path.read_text() for path in sorted(self.folder.glob(f"{self.model}_*.txt"))]

    def matrix(self) -> Any:
        """The rows, read from disk as they are needed."""
        return np.load(self.folder / "X.npy", mmap_mode="r")[: self.rows]

    def boosters(self) -> list[Any]:
        """The boosters."""
        import lightgbm as lgb

        return [lgb.Booster(model_str=text) for text in self.texts()]


def make_rows(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Skewed amounts, whole numbers and others, 5 % missing, one column of categories; and labels."""
    rng, pattern = np.random.default_rng(seed), np.random.default_rng(0)
    X = rng.normal(size=(rows, features))
    X[:, : features // 3] = np.exp(X[:, : features // 3])
    X[:, features // 3 : features // 2] = np.round(3.0 * X[:, features // 3 : features // 2])
    X[rng.random(X.shape) < 0.05] = np.nan
    X[:, -1] = rng.integers(0, CATEGORIES, rows)
    weights = pattern.normal(size=features - 1) * (pattern.random(features - 1) < 0.4)
    z = 0.4 * np.nan_to_num(X[:, :-1]) @ weights + 0.3 * np.nan_to_num(X[:, 0] * X[:, -2])
    z += 0.5 * (X[:, -1] % 3 == 0)
    return X, (rng.random(rows) < 1.0 / (1.0 + np.exp(1.0 - z))).astype(int)


def prepare(folder: Path, rows: int, features: int, depths: Sequence[int], threads: int) -> None:
    """Train the models and write them and the rows."""
    import lightgbm as lgb

    from overdue_ml import OverdueClassifier

    X, y = make_rows(TRAIN_ROWS, features, 1)
    for depth in depths:
        params = {
            "objective": "binary", "num_leaves": 31, "max_depth": depth, "learning_rate": 0.05, "seed": 0,
            "feature_fraction": 0.5, "verbosity": -1, "num_threads": threads, "deterministic": True,
            "force_col_wise": True,
        }  # fmt: skip
        data = lgb.Dataset(X, y, categorical_feature=[features - 1], params={"verbosity": -1})
        (folder / f"depth{depth}_0.txt").write_text(lgb.train(params, data, 300).model_to_string())
    for i, booster in enumerate(OverdueClassifier(n_jobs=threads).fit(X, y).boosters_):
        (folder / f"bag_{i}.txt").write_text(booster.model_to_string())
    part = 100_000
    whole = np.lib.format.open_memmap(folder / "X.npy", mode="w+", dtype=np.float64, shape=(rows, features))
    for start in range(0, rows, part):
        n = min(part, rows - start)
        whole[start : start + n] = make_rows(n, features, 2 + start // part)[0]


def measure(run: Callable[[], Any], rows: int, repeats: int = REPEATS) -> tuple[Any, Result]:
    """The last answer, and the run that took the least CPU."""
    found, answer = [], None
    for _ in range(repeats):
        answer = None
        wall, cpu = time.perf_counter(), time.process_time()
        answer = run()
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = min(found)
    return answer, Result(rows, wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def run_predict(job: Job) -> Result:
    """LightGBM's scores alone."""
    boosters, X = job.boosters(), np.array(job.matrix())
    return measure(
        lambda: [b.predict(X, raw_score=True, num_threads=job.threads) for b in boosters], len(X), 2
    )[1]


def run_contrib(job: Job) -> Result:
    """LightGBM's contributions, on few rows."""
    boosters, X = job.boosters(), np.array(job.matrix()[: job.checked])
    return measure(
        lambda: [b.predict(X, pred_contrib=True, num_threads=job.threads) for b in boosters], len(X), 1
    )[1]


def _reference(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Contributions of the first rows and scores of as many as are asked for, both by LightGBM."""
    boosters, X = job.boosters(), job.matrix()
    few = np.array(X[: job.checked])
    total = sum(b.predict(few, pred_contrib=True, num_threads=job.threads) for b in boosters)
    scores = sum(b.predict(few, raw_score=True, num_threads=job.threads) for b in boosters)
    return total[:, :-1] / len(boosters), scores / len(boosters)


def run_ours(job: Job, top: int = 0) -> Result:
    """Scores and contributions by look-up, of all features or of the largest few."""
    from overdue_ml.explain import TreeShap

    texts, X = job.texts(), np.array(job.matrix())
    TreeShap.from_text(texts[:1]).explain(X[:10])
    started = time.process_time()
    explainer = TreeShap.from_text(texts)
    build = time.process_time() - started
    run = (lambda: explainer.explain_top(X, top, job.threads)) if top else (
        lambda: explainer.explain(X, job.threads)
    )  # fmt: skip
    answer, cost = measure(run, len(X))
    values, scores = _reference(job)
    if top:
        values = np.take_along_axis(values, answer.indices[: job.checked], axis=1)
        found = answer.values[: job.checked]
    else:
        found = answer.contributions[: job.checked]
    return Result(
        cost.rows, cost.seconds, cost.cpu, cost.peak_mb, build, explainer.n_bytes / 1e6,
        float(np.abs(found - values).max()), bool((answer.scores[: job.checked] == scores).all()),
    )  # fmt: skip


def run_against(job: Job) -> Result:
    """Scores and contributions against a background; they are kept for the packages that give them too."""
    from overdue_ml.explain import TreeShap

    texts, X = job.texts(), np.array(job.matrix())
    TreeShap.from_text(texts[:1], background=X[:10]).explain(X[:10])
    started = time.process_time()
    explainer = TreeShap.from_text(texts, background=X[:BACKGROUND])
    build = time.process_time() - started
    answer, cost = measure(lambda: explainer.explain(X, job.threads), len(X))
    np.save(job.folder / f"{job.model}_against.npy", answer.contributions[: job.checked])
    same = bool((answer.scores[: job.checked] == _reference(job)[1]).all())
    return Result(
        cost.rows, cost.seconds, cost.cpu, cost.peak_mb, build, explainer.n_bytes / 1e6, same_scores=same
    )


def run_interactions(job: Job) -> Result:
    """All interactions of few rows; the difference is that of their sums."""
    from overdue_ml.explain import interaction_values

    texts, X = job.texts(), np.array(job.matrix()[: min(PAIRS, job.checked)])
    interaction_values(texts[:1], X[:10])
    answer, cost = measure(lambda: interaction_values(texts, X, n_threads=job.threads), len(X), 1)
    gap = float(np.abs(answer.sum(axis=2) - _reference(job)[0][: len(X)]).max())
    return Result(cost.rows, cost.seconds, cost.cpu, cost.peak_mb, difference=gap)


def run_few(job: Job) -> list[tuple[int, float, float]]:
    """Milliseconds of CPU for few rows: by tables that are there, and by ``pred_contrib``."""
    from overdue_ml.explain import TreeShap

    explainer, boosters, found = TreeShap.from_text(job.texts()), job.boosters(), []
    explainer.explain(np.array(job.matrix()[:10]))

    def theirs(X: np.ndarray) -> None:
        for booster in boosters:
            booster.predict(X, pred_contrib=True, num_threads=job.threads)

    for n in FEW_ROWS:
        X = np.array(job.matrix()[: min(n, job.checked)])
        ours = measure(partial(explainer.explain, X, job.threads), len(X))[1]
        contrib = measure(partial(theirs, X), len(X), 2)[1]
        found.append((len(X), 1e3 * ours.cpu, 1e3 * contrib.cpu))
    return found


def run_package(job: Job, name: str, against: bool = False) -> Result:
    """Another package with the interface of shap's TreeExplainer, on few rows."""
    import pandas as pd

    boosters = job.boosters()
    # Vectorised over rows: too few would count its start alone.
    rows = job.checked if name != "woodelf" else min(job.rows, 50 * job.checked)
    X = np.array(job.matrix()[:rows])
    if name == "woodelf":
        from woodelf import WoodelfExplainer  # type: ignore[import-not-found]

        names = boosters[0].feature_name()
        rows_against = pd.DataFrame(np.array(job.matrix()[:BACKGROUND]), columns=names) if against else None
        explainers = [WoodelfExplainer(booster, rows_against) for booster in boosters]
    elif name == "fasttreeshap":
        import fasttreeshap  # type: ignore[import-not-found]

        explainers = [fasttreeshap.TreeExplainer(b, algorithm="v2", n_jobs=job.threads) for b in boosters]
    else:
        import shap

        explainers = [shap.TreeExplainer(booster) for booster in boosters]
    given = pd.DataFrame(X, columns=boosters[0].feature_name()) if name == "woodelf" else X
    answers, cost = measure(lambda: [e.shap_values(given) for e in explainers], len(X), 1)
    last = [np.asarray(a[-1] if isinstance(a, list) else a)[: job.checked] for a in answers]
    mean = sum(a[..., -1] if a.ndim == 3 else a for a in last) / len(boosters)
    expected = np.load(job.folder / f"{job.model}_against.npy") if against else _reference(job)[0]
    gap = float(np.abs(mean - expected).max())
    return Result(cost.rows, cost.seconds, cost.cpu, cost.peak_mb, difference=gap)


def run_peer(job: Job, name: str, python: str, against: bool = False) -> Result:
    """Another package in an environment of its own."""
    words = asdict(job) | {"folder": str(job.folder)}
    done = subprocess.run(
        [python, __file__, "--measure", json.dumps([words, name, against])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it was killed"])[-1])
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def alone(job: Callable[..., Any], *words: object) -> Any:
    """Measure in a process of its own, so that its memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(job, *words).result()


def compare(job: Job, peers: Mapping[str, str]) -> list[tuple[str, Result | str]]:
    """Every way on one model."""
    found: list[tuple[str, Result | str]] = [
        ("LightGBM predict: scores alone", alone(run_predict, job)),
        ("TreeShap: scores and all contributions", alone(run_ours, job)),
        (f"TreeShap: scores and the {TOP} largest", alone(run_ours, job, TOP)),
        # shap asks LightGBM for the contributions of LightGBM's models: the same numbers.
        ("LightGBM pred_contrib", alone(run_contrib, job)),
        (f"TreeShap: scores and contributions against {BACKGROUND} rows", alone(run_against, job)),
        ("interaction_values: all pairs", alone(run_interactions, job)),
    ]
    ways = [(package, title, False) for package, title in PACKAGES.items()]
    ways.append(("woodelf", f"woodelf against {BACKGROUND} rows", True))
    for package, title, against in ways:
        if package not in peers and importlib.util.find_spec(package) is None:
            found.append((title, "not installed"))
            continue
        try:
            if package in peers:
                found.append((title, run_peer(job, package, peers[package], against)))
            else:
                found.append((title, alone(run_package, job, package, against)))
        except Exception as error:
            # Other packages refuse some models: that is a finding, not the end of the benchmark.
            found.append((title, f"failed: {type(error).__name__} {str(error)[:80]}"))
    return found


def say_break_even(found: Sequence[tuple[str, Result | str]], few: Sequence[tuple[int, float, float]]) -> str:
    """From how many rows on the build of the tables pays, and what few rows cost where they are built."""
    ours, contrib = found[1][1], found[3][1]
    assert isinstance(ours, Result)
    assert isinstance(contrib, Result)
    rows = ours.build / max(contrib.cpu - ours.cpu / ours.rows * contrib.rows, 1e-9) * contrib.rows
    told = "; ".join(f"{n:,}: {a:.1f} and {b:,.0f} ms" for n, a, b in few)
    return (
        f"Building the tables pays from {rows:,.0f} rows on. CPU for few rows, with tables that are there "
        f"and by pred_contrib: {told}."
    )


def render(found: Sequence[tuple[str, Result | str]]) -> str:
    """A table in Markdown."""
    base, contrib = found[0][1], found[3][1]
    assert isinstance(base, Result)
    assert isinstance(contrib, Result)
    lines = [
        "| Way | Rows | CPU µs a row | Rows a second and core | x predict | pred_contrib / it "
        "| Build, s of CPU | Tables, MB | Peak, MB | Largest difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, result in found:
        if isinstance(result, str):
            lines.append(f"| {name} | {result} | | | | | | | | |")
            continue
        build = f"{result.build:.2f} | {result.table_mb:.0f}" if result.table_mb else "- | -"
        gap = "-" if result.difference is None else f"{result.difference:.1e}"
        if result.same_scores is not None:
            gap += ", same scores" if result.same_scores else ", OTHER SCORES"
        lines.append(
            f"| {name} | {result.rows:,} | {result.cpu_us:,.1f} | {1e6 / result.cpu_us:,.0f} "
            f"| {result.cpu_us / base.cpu_us:,.2f} | {contrib.cpu_us / result.cpu_us:,.1f} | {build} "
            f"| {result.peak_mb:,.0f} | {gap} |"
        )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure every way on every model and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=70)
    parser.add_argument("--checked", type=int, default=2000, help="rows of the slow ways and the comparison")
    parser.add_argument("--depths", default="-1,8", help="largest depths, -1 for none")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peers", default="", help="NAME=PYTHON of packages elsewhere, with commas between")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="put the tables into RESULTS.md")
    parser.add_argument("--date", type=dt.date.fromisoformat, help="of the run, for --write")
    args = parser.parse_args(argv)
    if args.measure:
        words, name, against = json.loads(args.measure)
        job = Job(**words | {"folder": Path(words["folder"])})
        print(json.dumps(asdict(run_package(job, name, against))))
        return
    peers = dict(part.split("=", 1) for part in args.peers.split(",") if part)
    if args.write and args.date is None:
        parser.error("--write needs --date")
    depths = [int(depth) for depth in args.depths.split(",")]
    parts = [
        "## Exact contributions against a prediction",
        f"{args.date or ''}, {os.cpu_count()} cores: `python benchmarks/explain.py --rows {args.rows} "
        f"--features {args.features} --depths={args.depths}`".lstrip(", "),
        "CPU time, not time on the clock; the build of the tables comes once a model and is not in it.",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone(prepare, folder, args.rows, args.features, depths, args.threads)
        models = [(f"depth{d}", f"300 trees of 31 leaves, depth {d if d > 0 else 'free'}") for d in depths]
        for model, title in [*models, ("bag", "default OverdueClassifier: 5 x 400 trees of 8 leaves")]:
            job = Job(folder, model, args.rows, min(args.checked, args.rows), args.threads)
            found = compare(job, peers)
            table, few = render(found), say_break_even(found, alone(run_few, job))
            print(f"\n{title}, {args.features} features\n\n{table}\n\n{few}", flush=True)
            parts += [f"### {title[0].upper() + title[1:]}, {args.features} features", table, few]
    if args.write:
        write_section(HERE / "RESULTS.md", "explain", *parts)


if __name__ == "__main__":
    main()
