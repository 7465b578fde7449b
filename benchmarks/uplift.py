"""Reminders ranked by what they do against reminders ranked by risk, on the synthetic lender.

Its response is known: a reminder takes 1 off the log-odds of two customers in five, who stand in no table. So
the effect on the probability rises with the risk up to about 0.6 and falls beyond, and a ranking by risk is
already near to the best that the tables allow: what can be gained is among the few of very high risk, whom a
reminder hardly helps. How much more it would be with the forgetful known is the line ``all known``.

A model of the risk is trained on four months; benefits are learned from the lender's own coin in the five
months after; then the customers of three later months are ranked, and the money saved among the first of them
counted by the true response. Example: ``python benchmarks/uplift.py --customers 20000``.

How benefits are learned was chosen on the seeds 1, 2 and 3; the default ones are others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping

import numpy as np
import pandas as pd

import overdue_ml as om
from overdue_ml.labels import hash_share
from overdue_ml.metrics import compare_rankings
from overdue_ml.records import Records, compute_next_due
from overdue_ml.reminders import UpliftLimits, UpliftModel, cross_uplift, fit_uplift, room_of

MONTHS, LEARN, HISTORY, TARGET = 18, range(5, 9), range(9, 14), range(14, 17)
TOPS = (0.05, 0.1, 0.2, 0.3, 0.5)
LABELS = om.LabelsConfig(source="instalments", grace_days=3)
#: How little is too little is what is measured here.
NO_LIMITS = UpliftLimits(min_rows=1, min_overdue=1)
NAMES = {
    "lot": "by lot",
    "amount": "amount due",
    "risk": "risk x amount",
    "benefit": "learned benefit x amount (a line in room to move)",
    "forest": "learned benefit x amount (a forest)",
    "forgetful": "true benefit x amount, forgetful not known",
    "all": "true benefit x amount, all known",
}


def build_rows(n_customers: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Customers whom the coin fell for: of the months of the history, and of those that are ranked."""
    tables = om.simulate(n_customers, seed=seed, months=MONTHS)
    truth = tables.pop("truth").to_pandas()
    truth["as_of_date"] = pd.to_datetime(truth["as_of_date"])
    records = om.load_records(tables)
    days = [pd.Timestamp(day) for day in sorted(truth["as_of_date"].unique())]
    risk = _risk_model(records, [days[i] for i in LEARN])
    made = tables["contacts"].to_pandas()[["customer_id", "contacted_on", "arm"]]
    month = pd.to_datetime(made["contacted_on"]).dt.to_period("M").dt.start_time
    made["as_of_date"] = month - pd.Timedelta(days=1)
    parts = [_month(records, risk, days[i]) for i in (*HISTORY, *TARGET)]
    keys = ["customer_id", "as_of_date"]
    rows = made.merge(pd.concat(parts), on=keys).merge(truth, on=keys)
    labels = om.label_customers(records, [days[i].date() for i in (*HISTORY, *TARGET)], LABELS)
    rows = rows.join(labels["is_overdue"], on=keys).sort_values(keys, ignore_index=True)
    past = rows["as_of_date"] < days[TARGET[0]]
    return rows[past].reset_index(drop=True), rows[~past].reset_index(drop=True)


def _risk_model(records: Records, days: list[pd.Timestamp]) -> om.OverdueClassifier:
    labels = om.label_customers(records, [day.date() for day in days], LABELS)
    labels = labels[labels["verdict"].isin(["overdue", "on_time"])]
    features = om.build_features(records, [day.date() for day in days]).reindex(labels.index)
    customers = features.index.get_level_values("customer_id")
    return om.OverdueClassifier(n_estimators=200, cv=3).fit(features, labels["is_overdue"], groups=customers)


def _month(records: Records, risk: om.OverdueClassifier, day: pd.Timestamp) -> pd.DataFrame:
    features = om.build_features(records, day.date()).droplevel("as_of_date")
    due = compute_next_due(records, day.date()).reindex(features.index)
    return pd.DataFrame(
        {
            "customer_id": features.index,
            "as_of_date": day,
            "risk": risk.predict_proba(features)[:, 1],
            "due_amount": due["due_amount"].fillna(0.0).to_numpy(),
        }
    )


def features_of(rows: pd.DataFrame) -> pd.DataFrame:
    """What benefits are learned from."""
    return pd.DataFrame({"room": room_of(rows["risk"])})


def rank_target(rows: pd.DataFrame, learned: Mapping[str, np.ndarray], seed: int) -> pd.DataFrame:
    """Share of all money that reminders can save which the first of each ranking save, by the truth."""
    due = rows["due_amount"].to_numpy()
    true = (rows["p_if_not_reminded"] - rows["p_if_reminded"]).to_numpy()
    # Of one loan, this is what a reminder does on average over who is forgetful.
    p = rows["p_if_not_reminded"].to_numpy()
    log_odds = np.log(p / (1 - p))
    average = 0.4 * (p - 1 / (1 + np.exp(1 - log_odds)))
    keys = {
        "lot": np.random.default_rng(seed).random(len(rows)),
        "amount": due,
        "risk": rows["risk"].to_numpy() * due,
        **{name: benefit * due for name, benefit in learned.items()},
        "forgetful": average * due,
        "all": true * due,
    }
    found = {}
    for name, key in keys.items():
        saved = (true * due)[np.argsort(-key, kind="stable")].cumsum()
        found[name] = [saved[int(np.ceil(top * len(rows))) - 1] / saved[-1] for top in TOPS]
    return pd.DataFrame(found, index=list(TOPS)).T


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seeds", default="4,5,6")
    parser.add_argument(
        "--history", type=float, default=1.0, help="share of the customers that is learned from"
    )
    options = parser.parse_args()
    tables, shown = [], []
    for seed in (int(seed) for seed in options.seeds.split(",")):
        history, target = build_rows(options.customers, seed)
        drawn = history["customer_id"].map(lambda customer: hash_share(customer, "history"))
        history = history[drawn < options.history].reset_index(drop=True)
        told = features_of(history), history["arm"], history["is_overdue"]
        owner = history["customer_id"]
        start = time.perf_counter()
        model = fit_uplift(*told, customers=owner, limits=NO_LIMITS)
        seconds = time.perf_counter() - start
        forest = fit_uplift(*told, customers=owner, learner="forest", limits=NO_LIMITS)
        learned = {"benefit": model, "forest": forest}
        benefits = {name: m.predict(features_of(target)) for name, m in learned.items()}
        tables.append(rank_target(target, benefits, seed))
        _print_fit(seed, history, target, model, seconds)
        due = history["due_amount"]
        keys = {"risk": history["risk"] * due, "benefit": cross_uplift(*told, owner, limits=NO_LIMITS) * due}
        held = history["arm"] == "holdout"
        seen = compare_rankings(keys, history["is_overdue"], held, due, owner, tops=TOPS)
        shown.append(seen[seen["ranking"] == "benefit"].set_index("top"))
    _print_tables(tables, shown)


def _print_fit(
    seed: int, history: pd.DataFrame, target: pd.DataFrame, model: UpliftModel, seconds: float
) -> None:
    true = float((history["p_if_not_reminded"] - history["p_if_reminded"]).mean())
    saved = float(((target["p_if_not_reminded"] - target["p_if_reminded"]) * target["due_amount"]).sum())
    print(
        f"seed {seed}: {len(history):,} rows of history ({model.n_holdout:,} held out), "
        f"fitted in {seconds:.1f} s;\n  a reminder took {100 * model.mean_benefit:.1f} points "
        f"({100 * model.low:.1f} to {100 * model.high:.1f}) off, in truth {100 * true:.1f};"
        f"\n  {len(target):,} rows to rank, of whom reminders save {saved:,.0f}"
    )


def _print_tables(tables: list[pd.DataFrame], shown: list[pd.DataFrame]) -> None:
    mean = pd.concat(tables).groupby(level=0).mean()
    print(f"\nShare of what reminders can save in the first ... (mean over {len(tables)} lenders)\n")
    print("| ranked by |" + "".join(f" {top:.0%} |" for top in TOPS))
    print("|---|" + "---|" * len(TOPS))
    for name, words in NAMES.items():
        shares = mean.loc[name].to_numpy(dtype=float).tolist()
        print(f"| {words} |" + "".join(f" {100 * share:.1f} % |" for share in shares))
    print("\nLearned benefit over risk, in points of that share, lender by lender\n")
    for table in tables:
        gain = 100 * (table.loc["benefit"] - table.loc["risk"])
        print("  " + "  ".join(f"{top:.0%}: {gain[top]:+.1f}" for top in TOPS))
    print(
        "\nWhat the history alone shows of it: money gained by benefit over risk (95 %), lender by lender\n"
    )
    for seen in shown:
        cells = [
            f"{top:.0%}: {gain:+,.0f} ({low:+,.0f} to {high:+,.0f})"
            for top, gain, low, high in seen[["gain", "gain_low", "gain_high"]].itertuples()
        ]
        print("  " + "  ".join(cells))


if __name__ == "__main__":
    main()
