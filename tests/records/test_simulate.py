"""The synthetic lender: repeatable, sound by the contracts, and true to its own probabilities."""

from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.records import load_records
from overdue_ml.records.contracts import CONTRACTS
from overdue_ml.records.simulate import BLOCK, simulate, simulate_to

Tables = dict[str, pa.Table]
GRACE, REMINDER = 3, -1.0
LAST_DAY = dt.date(2023, 12, 31)


@pytest.fixture(scope="module")
def lender() -> Tables:
    return simulate(20_000, seed=11)


@pytest.fixture(scope="module")
def small() -> Tables:
    return simulate(600, seed=11)


def query(tables: Tables, sql: str) -> pd.DataFrame:
    with duckdb.connect() as con:
        con.execute("SET threads = 2")
        for name, table in tables.items():
            con.register(name, table)
        return con.execute(sql).df()


# The event, read from the tables as a label compiler would: a payment that names an instalment pays that,
# other money pays the oldest debt first; whole days, the plan's latest version, 0.5 % of tolerance.
EVENTS = f"""
WITH dues AS (
    SELECT account_id, instalment_no, due_date, amount_due,
        sum(amount_due) OVER (PARTITION BY account_id ORDER BY instalment_no) AS due_so_far,
        CAST(date_trunc('month', due_date) AS DATE) - 1 AS as_of_date
    FROM (SELECT * FROM instalments
          QUALIFY row_number() OVER (PARTITION BY account_id, instalment_no ORDER BY known_on DESC) = 1)
    WHERE due_date <= DATE '{LAST_DAY}' - {GRACE} - 3
),
named AS (
    SELECT d.account_id, d.instalment_no, sum(p.amount) AS paid
    FROM dues d JOIN payments p USING (account_id, instalment_no)
    WHERE p.paid_on <= d.due_date + {GRACE} GROUP BY ALL
),
unnamed AS (
    SELECT d.account_id, d.instalment_no, sum(p.amount) AS paid
    FROM dues d JOIN payments p ON p.account_id = d.account_id AND p.instalment_no IS NULL
        AND p.paid_on <= d.due_date + {GRACE} GROUP BY ALL
),
technical AS (
    SELECT DISTINCT d.account_id, d.instalment_no
    FROM dues d JOIN payments p ON p.account_id = d.account_id AND p.technical
        AND p.paid_on BETWEEN d.due_date AND d.due_date + {GRACE} + 3
),
short AS (
    SELECT d.account_id, d.as_of_date, t.account_id IS NOT NULL AS technical,
        CASE WHEN d.account_id IN (SELECT account_id FROM payments WHERE instalment_no IS NULL)
            THEN d.due_so_far - coalesce(u.paid, 0) ELSE d.amount_due - coalesce(n.paid, 0)
        END > 0.005 * d.amount_due + 0.02 AS late
    FROM dues d LEFT JOIN named n USING (account_id, instalment_no)
        LEFT JOIN unnamed u USING (account_id, instalment_no)
        LEFT JOIN technical t USING (account_id, instalment_no)
)
SELECT customer_id, as_of_date, bool_or(late AND NOT technical) AS late, bool_or(technical) AS technical
FROM short JOIN accounts USING (account_id) GROUP BY ALL
"""


def joined(tables: Tables) -> pd.DataFrame:
    """The truth beside what happened, for months whose outcome the records hold."""
    return query(
        tables,
        f"SELECT t.*, e.late, e.technical, c.arm "
        f"FROM truth t JOIN ({EVENTS}) e USING (customer_id, as_of_date) "
        "LEFT JOIN contacts c ON c.customer_id = t.customer_id "
        "AND CAST(date_trunc('month', c.contacted_on) AS DATE) - 1 = t.as_of_date",
    )


@pytest.fixture(scope="module")
def events(lender: Tables) -> pd.DataFrame:
    return joined(lender)


# --- repeatable ---------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_tables_and_another_seed_others(small: Tables) -> None:
    again, other = simulate(600, seed=11), simulate(600, seed=12)
    for name, table in small.items():
        assert table.equals(again[name])
        assert not table.equals(other[name])


def test_fewer_customers_are_the_beginning_of_more(lender: Tables, small: Tables) -> None:
    more = simulate(BLOCK + 700, seed=11)
    for name, table in small.items():
        assert 0 < table.num_rows < more[name].num_rows < lender[name].num_rows
        assert more[name].slice(0, table.num_rows).combine_chunks().equals(table.combine_chunks())
        whole = lender[name].slice(0, more[name].num_rows).combine_chunks()
        assert whole.equals(more[name].combine_chunks())


def test_parts_do_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    n = 2 * BLOCK + 300
    memory = simulate(n, seed=3, months=4)
    rows = simulate_to(tmp_path / "one", n, seed=3, months=4, part_customers=4 * BLOCK)
    simulate_to(tmp_path / "three", n, seed=3, months=4, part_customers=BLOCK)
    simulate_to(tmp_path / "again", n, seed=3, months=4, part_customers=BLOCK)
    assert rows == {name: table.num_rows for name, table in memory.items()}
    for name, table in memory.items():
        parts = sorted((tmp_path / "three" / name).iterdir())
        assert [p.name for p in parts] == [f"part-{k:05d}.parquet" for k in range(3)]
        read = [pq.ParquetFile(p, page_checksum_verification=True).read() for p in parts]
        assert pa.concat_tables(read).combine_chunks().equals(table.combine_chunks())
        assert pq.read_table(tmp_path / "one" / name / "part-00000.parquet").equals(table.combine_chunks())
        for part in parts:
            assert part.read_bytes() == (tmp_path / "again" / name / part.name).read_bytes()


def test_a_flipped_bit_in_a_part_is_noticed(tmp_path: Path) -> None:
    simulate_to(tmp_path, 50, months=3)
    path = tmp_path / "payments" / "part-00000.parquet"
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(OSError, match=r"(?i)crc|checksum|corrupt"):
        pq.ParquetFile(path, page_checksum_verification=True).read()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_customers": 0}, "n_customers is 0"),
        ({"months": 2}, "months is 2"),
        ({"grace_days": 4}, "grace_days is 4"),
        ({"seed": -1}, "seed is -1"),
        ({"start": "2022-01-15"}, "first of a month"),
        ({"start": "2022-13-01"}, "not a date"),
        ({"drift": "2022-06-02"}, "first of a month"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        simulate(**({"n_customers": 10} | arguments))  # type: ignore[arg-type]


def test_parts_are_never_mixed_with_other_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple of"):
        simulate_to(tmp_path, 10, part_customers=BLOCK + 1)
    simulate_to(tmp_path, 10, months=3)
    with pytest.raises(ConfigError, match="already holds files"):
        simulate_to(tmp_path, 10, months=3)


# --- sound --------------------------------------------------------------------------------------------

MAY_BE_NULL = {
    ("accounts", "closed_on"),
    ("payments", "instalment_no"),
    ("contacts", "channel"),
    ("contacts", "outcome"),
}


def test_every_row_passes_its_contract(small: Tables) -> None:
    records = load_records(small)
    assert set(records.tables) == set(small) - {"truth"}
    for name, rejected in records.rejected.items():
        assert rejected.num_rows == 0, name
        extra = set(small[name].column_names) - {c.name for c in CONTRACTS[name].columns}
        assert extra == ({"sex", "birth_date", "region"} if name == "customers" else set())


def test_a_folder_of_parts_loads_whole(tmp_path: Path) -> None:
    rows = simulate_to(tmp_path, BLOCK + 10, months=3, part_customers=BLOCK)
    tables = load_records(tmp_path).tables
    assert {name: table.num_rows for name, table in tables.items()} | {"truth": rows["truth"]} == rows


def test_cells_are_filled_finite_and_in_order(lender: Tables) -> None:
    for name, table in lender.items():
        for column, cells in zip(table.column_names, table.columns, strict=True):
            assert (cells.null_count > 0) == ((name, column) in MAY_BE_NULL), (name, column)
            if pa.types.is_floating(cells.type):
                assert np.isfinite(cells.to_numpy()).all(), (name, column)
            elif pa.types.is_date(cells.type):
                days = pc.min_max(cells).as_py()
                assert dt.date(1945, 1, 1) < days["min"] <= days["max"] < dt.date(2030, 1, 1)
            elif column.endswith("customer_id"):
                assert cells[0].as_py() == "SYN000000000"
    keys = {
        "customers": ["customer_id"],
        "accounts": ["account_id"],
        "instalments": ["account_id", "instalment_no", "known_on"],
        "payments": ["payment_id"],
        "incomes": ["customer_id", "received_on"],
        "borrowings": ["customer_id", "reported_on", "lender_id"],
        "contacts": ["customer_id", "contacted_on"],
        "truth": ["customer_id", "as_of_date"],
    }
    for name, key in keys.items():
        rows = lender[name].select(key)
        assert rows.group_by(key).aggregate([]).num_rows == rows.num_rows, name
        assert rows.equals(rows.sort_by([(column, "ascending") for column in key])), name
    # Nothing is known after the last day; plans reach further, but were agreed before.
    for name in ("instalments", "payments", "incomes", "borrowings"):
        assert pc.max(lender[name]["known_on"]).as_py() <= LAST_DAY


def test_ids_refer_to_rows_that_exist(lender: Tables) -> None:
    for child in ("accounts", "incomes", "borrowings", "contacts", "truth"):
        known = set(lender["accounts"]["customer_id"].unique().to_pylist())
        assert set(lender[child]["customer_id"].unique().to_pylist()) <= known
    known = set(lender["accounts"]["account_id"].to_pylist())
    for child in ("instalments", "payments"):
        assert set(lender[child]["account_id"].unique().to_pylist()) <= known
    orphans = query(
        lender,
        "SELECT count(*) AS n FROM payments p ANTI JOIN instalments i "
        "USING (account_id, instalment_no) WHERE p.instalment_no IS NOT NULL",
    )
    assert orphans["n"].item() == 0


def test_the_plan_pays_back_the_loan_to_the_cent(lender: Tables) -> None:
    gaps = query(
        lender,
        """
        SELECT max(abs(i.principal - a.principal_amount)) AS gap, max(off) AS off, min(low) AS low
        FROM accounts a JOIN (
            SELECT account_id, sum(principal_due) AS principal, min(amount_due) AS low,
                max(abs(amount_due - principal_due - interest_due)) AS off
            FROM (SELECT * FROM instalments QUALIFY
                  row_number() OVER (PARTITION BY account_id, instalment_no ORDER BY known_on DESC) = 1)
            GROUP BY account_id
        ) i USING (account_id)
        """,
    ).iloc[0]
    assert gaps["gap"] < 0.005
    assert gaps["off"] < 0.005
    assert gaps["low"] > 0


def test_closed_loans_are_paid_off_and_open_ones_are_not(lender: Tables) -> None:
    loans = query(
        lender,
        """
        SELECT a.closed_on IS NOT NULL AS closed, a.closed_on >= i.last_due - 8 AS in_time,
            abs(coalesce(p.paid, 0) - i.due) < 0.02 AS paid_off
        FROM accounts a JOIN (
            SELECT account_id, sum(amount_due) AS due, max(due_date) AS last_due
            FROM (SELECT * FROM instalments QUALIFY
                  row_number() OVER (PARTITION BY account_id, instalment_no ORDER BY known_on DESC) = 1)
            GROUP BY account_id
        ) i USING (account_id) LEFT JOIN (
            SELECT account_id, sum(amount) AS paid FROM payments GROUP BY account_id
        ) p USING (account_id)
        """,
    )
    assert 0.1 < loans["closed"].mean() < 0.9
    assert (loans["closed"] == loans["paid_off"]).all()
    assert loans.loc[loans["closed"], "in_time"].all()


def test_every_kind_of_event_occurs(lender: Tables) -> None:
    counts = query(
        lender,
        f"""
        WITH rows AS (
            SELECT p.*, i.due_date, i.amount_due
            FROM payments p JOIN instalments i USING (account_id, instalment_no)
            QUALIFY row_number() OVER (PARTITION BY payment_id ORDER BY i.known_on DESC) = 1
        )
        SELECT count(*) FILTER (WHERE amount > 0 AND amount < 0.9 * amount_due) AS partial,
            count(*) FILTER (WHERE paid_on < due_date AND amount > 0) AS early,
            count(*) FILTER (WHERE paid_on = due_date) AS on_the_day,
            count(*) FILTER (WHERE paid_on BETWEEN due_date + 1 AND due_date + {GRACE}) AS in_grace,
            count(*) FILTER (WHERE paid_on > due_date + {GRACE} AND NOT technical) AS late,
            count(*) FILTER (WHERE paid_on > due_date + 40) AS very_late,
            count(*) FILTER (WHERE amount < 0 AND known_on > paid_on) AS reversed,
            count(*) FILTER (WHERE technical) AS technical,
            count(*) FILTER (WHERE known_on > paid_on AND amount > 0) AS posted_later,
            (SELECT count(*) FROM payments WHERE instalment_no IS NULL) AS unnamed,
            (SELECT count(DISTINCT i.account_id) FROM instalments i JOIN accounts a USING (account_id)
             WHERE i.known_on > a.opened_on) AS restructured,
            (SELECT count(*) FROM incomes WHERE kind = 'revenue') AS irregular,
            (SELECT count(*) FROM borrowings WHERE dpd > 0) AS late_elsewhere
        FROM rows
        """,
    ).iloc[0]
    assert (counts >= 100).all(), counts.to_dict()


def test_no_money_comes_before_the_month_of_its_instalment(lender: Tables) -> None:
    """Else the as_of date would already tell, and the true probability would not be one."""
    early = query(
        lender,
        "SELECT count(*) AS n FROM payments p JOIN instalments i USING (account_id, instalment_no) "
        "WHERE p.paid_on < CAST(date_trunc('month', i.due_date) AS DATE) + 2",
    )
    assert early["n"].item() == 0


# --- true to its own probabilities --------------------------------------------------------------------


def test_the_overdue_rate_is_that_of_a_lender(events: pd.DataFrame) -> None:
    assert len(events) > 200_000
    assert 0.05 < events["late"].mean() < 0.10


def test_the_truth_is_calibrated_in_every_decile(events: pd.DataFrame) -> None:
    """A month's events are independent given the probabilities, so their sum is within binomial error."""
    rows = events[~events["technical"]]
    groups = rows.groupby(pd.qcut(rows["p_overdue"], 10, labels=False))
    spread = np.sqrt(groups["p_overdue"].apply(lambda p: (p * (1 - p)).sum()))
    z = (groups["late"].sum() - groups["p_overdue"].sum()) / spread
    assert z.abs().max() < 4.0, z.to_dict()
    assert (z**2).sum() < 30.0  # chi-squared with 10 degrees: about 1 in 1,000


def test_the_truth_is_calibrated_in_every_month(events: pd.DataFrame) -> None:
    rows = events[~events["technical"]]
    groups = rows.groupby("as_of_date")
    spread = np.sqrt(groups["p_overdue"].apply(lambda p: (p * (1 - p)).sum()))
    z = (groups["late"].sum() - groups["p_overdue"].sum()) / spread
    assert len(z) == 24
    assert z.abs().max() < 4.0, z.to_dict()


def test_the_truth_ranks_well_but_not_perfectly(events: pd.DataFrame) -> None:
    ranks = events["p_overdue"].rank().to_numpy()
    late = events["late"].to_numpy(dtype=bool)
    auc = (ranks[late].mean() - (late.sum() + 1) / 2) / (~late).sum()
    assert 0.7 < auc < 0.95


def test_the_truth_columns_agree_with_each_other(lender: Tables) -> None:
    truth = lender["truth"].to_pandas()
    p, yes, no = truth["p_overdue"], truth["p_if_reminded"], truth["p_if_not_reminded"]
    np.testing.assert_allclose(truth["log_odds"], np.log(p / (1 - p)), rtol=1e-9, atol=1e-9)
    assert ((p > 0) & (p < 1) & (yes <= no) & (p <= no) & (p >= yes)).all()
    # One loan: a reminder moves the log-odds by its stated effect or, for most customers, not at all.
    single = query(lender, "SELECT customer_id FROM accounts GROUP BY 1 HAVING count(*) = 1")["customer_id"]
    rows = truth[truth["customer_id"].isin(single)]
    moved = np.log(rows["p_if_reminded"] / (1 - rows["p_if_reminded"])) - np.log(
        rows["p_if_not_reminded"] / (1 - rows["p_if_not_reminded"])
    )
    assert (np.isclose(moved, 0.0) | np.isclose(moved, REMINDER)).all()
    assert 0.35 < np.isclose(moved, REMINDER).mean() < 0.45


def test_the_last_as_of_date_has_a_truth_but_no_outcome(lender: Tables, events: pd.DataFrame) -> None:
    dates = pc.min_max(lender["truth"]["as_of_date"]).as_py()
    assert dates == {"min": dt.date(2021, 12, 31), "max": LAST_DAY}
    assert events["as_of_date"].max() == pd.Timestamp("2023-11-30")


def month_of(day: dt.date) -> int:
    return (day.year - 2022) * 12 + day.month - 1


def explained(rows: dict[str, pd.DataFrame], truth: pd.DataFrame) -> list[float]:
    """Log-odds of one loan's months less all that the equations take from its tables, in plain Python."""
    income = dict.fromkeys(range(-3, 24), 0.0)
    for row in rows["incomes"].itertuples():
        income[month_of(row.received_on)] += row.amount
    settled, late_months = {}, {}
    plan = rows["instalments"].sort_values("known_on").drop_duplicates("instalment_no", keep="last")
    for due in plan.itertuples():
        paid = rows["payments"][rows["payments"]["instalment_no"] == due.instalment_no]
        whole = abs(paid["amount"].sum() - due.amount_due) < 0.01
        last = paid["paid_on"].max() if whole else dt.date.max
        late = last > due.due_date + dt.timedelta(GRACE) and not paid["technical"].any()
        late_months[month_of(due.due_date)] = late
        settled[month_of(due.due_date)] = (
            (paid["known_on"].max() if whole else dt.date.max) if late else dt.date.min
        )
    left = []
    for row in truth.itertuples():
        m, end = month_of(row.as_of_date) + 1, row.as_of_date
        level = income[-3]
        for month in range(-2, m - 1):
            level += 0.2 * (income[month] - level)
        memory = 0.0
        for month in range(m):
            memory += 0.25 * (late_months.get(month, False) - memory)
        debts = rows["borrowings"][rows["borrowings"]["known_on"] <= end]
        debts = debts[debts["reported_on"] == debts["reported_on"].max()]
        use = debts["balance_amount"].sum() / debts["credit_limit_amount"].sum() if len(debts) else 0.4
        now = rows["instalments"][rows["instalments"]["known_on"] <= end].sort_values("known_on")
        dues = now[[month_of(day) == m for day in now["due_date"]]]["amount_due"].iloc[-1]
        burden = math.log((dues + debts["monthly_due_amount"].sum() + 1) / (0.3 * level + 1))
        first = month_of(rows["instalments"]["due_date"].min())
        left.append(
            math.log(row.p_if_not_reminded / (1 - row.p_if_not_reminded))
            - 1.1 * min(max(math.log((level + 1) / (income[m - 1] + 1)), -0.5), 1.5)
            - 0.7 * min(max(burden, -1.5), 1.5)
            - 1.5 * (use - 0.4)
            - 0.7 * (debts["dpd"] > 0).any()
            - 0.9 * late_months.get(m - 1, False)
            - 1.2 * memory
            - 0.8 * any(day > end for month, day in settled.items() if month < m)
            + 0.06 * min(m - first, 12)
        )
    return left


def test_the_equations_hold_on_the_tables_alone(small: Tables) -> None:
    """What the tables do not explain is one number a customer: the hidden effect and the payday's gap."""
    frames = {name: table.to_pandas() for name, table in small.items()}
    owners = frames["accounts"].groupby("customer_id")["account_id"].agg(list)
    named = set(frames["payments"].dropna(subset="instalment_no")["account_id"])
    chosen = [(c, a[0]) for c, a in owners.items() if len(a) == 1 and a[0] in named][:30]
    groups = {
        name: dict(iter(frames[name].groupby(frames[name].columns[1 if name == "payments" else 0])))
        for name in ("incomes", "borrowings", "instalments", "payments", "truth")
    }
    hidden = []
    for customer, account in chosen:
        ids = {"incomes": customer, "borrowings": customer, "instalments": account, "payments": account}
        rows = {name: groups[name].get(key, frames[name].iloc[:0]) for name, key in ids.items()}
        left = explained(rows, groups["truth"][customer])
        assert max(left) - min(left) < 1e-6, (account, left)
        hidden.append(left[0])
    assert len(hidden) == 30
    assert 0.4 < np.std(hidden) < 0.9


# --- reminders and drift ------------------------------------------------------------------------------


def test_reminders_lower_lateness_by_the_stated_effect(events: pd.DataFrame) -> None:
    rows = events[~events["technical"]]
    arms = {}
    for arm, column in (("treated", "p_if_reminded"), ("holdout", "p_if_not_reminded")):
        group = rows[rows["arm"] == arm]
        spread = np.sqrt((group[column] * (1 - group[column])).sum())
        assert abs(group["late"].sum() - group[column].sum()) < 4.0 * spread
        arms[arm] = group
    assert abs(len(arms["treated"]) / len(arms["holdout"]) - 1.0) < 0.05
    # Those who do not respond are as late in either arm; those who do differ by about delta.
    odds = {}
    for arm, group in arms.items():
        responds = group["p_if_reminded"] < group["p_if_not_reminded"] - 1e-12
        odds[arm] = [
            np.log(m / (1 - m)) for m in (group["late"][responds].mean(), group["late"][~responds].mean())
        ]
    assert abs(odds["treated"][1] - odds["holdout"][1]) < 0.1
    # Averaging over customers flattens a logistic effect a little.
    assert -1.1 < odds["treated"][0] - odds["holdout"][0] < -0.7


def test_without_a_contact_nobody_is_in_an_arm(events: pd.DataFrame) -> None:
    idle = events[events["arm"].isna()]
    assert np.allclose(idle["p_overdue"], idle["p_if_not_reminded"])
    assert 0.1 < events["arm"].notna().mean() < 0.6


def test_drift_changes_rates_from_its_date_on_and_nothing_before() -> None:
    n, day = 2 * BLOCK, pd.Timestamp("2023-01-01")
    calm, drifted = simulate(n, seed=5), simulate(n, seed=5, drift="2023-01-01")
    for name in ("customers", "incomes", "borrowings", "instalments"):
        assert calm[name].equals(drifted[name])
    both = joined(calm).merge(joined(drifted), on=["customer_id", "as_of_date"], suffixes=("", "_drifted"))
    before = both["as_of_date"] < day - pd.Timedelta(days=1)
    assert (both["p_overdue"] == both["p_overdue_drifted"])[before].all()
    assert (both["late"] == both["late_drifted"])[before].all()
    after = both[~before]
    assert after["late_drifted"].mean() > 1.25 * after["late"].mean()
    known = "SELECT * FROM payments WHERE known_on < DATE '2023-01-01'"
    pd.testing.assert_frame_equal(
        query(calm, f"SELECT * EXCLUDE payment_id FROM ({known}) ORDER BY ALL"),
        query(drifted, f"SELECT * EXCLUDE payment_id FROM ({known}) ORDER BY ALL"),
    )
    assert simulate(5, drift=True)["truth"].equals(simulate(5, drift="2023-05-01")["truth"])


def test_without_grace_nobody_pays_late_on_purpose() -> None:
    tables = simulate(BLOCK, seed=2, months=6, grace_days=0)
    days = query(
        tables,
        "SELECT p.paid_on - i.due_date AS days "
        "FROM payments p JOIN instalments i USING (account_id, instalment_no) "
        "WHERE NOT p.technical AND p.amount > 0",
    )["days"]
    assert 0.02 < (days > 0).mean() < 0.12
