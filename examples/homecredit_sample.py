"""A row sample of Home Credit's tables: 1,000 applications, earlier loans, cards, bureau records.

Every date in the source is a number of days or months before the customer's own application. Here
everybody applies on 2018-01-01 (``REFERENCE``). That day is invented: intervals are true, the calendar is
not. Month ``m`` of a balance (0 or negative) ends on the reference day moved by ``m`` months.

What was found in the files, and what is done about it:

- Some files begin with a byte order mark.
- PAYMENTS are sampled, not customers: loans have 35 % of the instalments up to their highest number, and
  of an instalment paid in parts some parts are missing. For 565 of 7,183 instalments the payments in the
  file fall short. Kept, they stay overdue for ever: settlement calls 62 of the 561 account-months that
  ``pos_cash_balance`` covers past due, and 54 of these have ``SK_DPD`` 0. So they are left out with their
  576 rows (``keep_short=True`` keeps them), after which settlement and ``SK_DPD`` > 0 agree in 98.4 % of 555
  months instead of 90.0 %. The price: 8 of the 10 months past due concern instalments left out. What
  remains is all paid in the end, 5.5 % of it late: the set has late payments, but no defaults.
- ``NUM_INSTALMENT_VERSION``: 61 instalments stand under two versions with one payment told twice, and
  the two amounts add up to that payment in all 61. The customer paid ahead, and the surplus became a new
  version. So the later version gets the SUM of both amounts, known from the day of that payment, and the
  payment counts once.
- ``known_on``: a version 1 is known from the opening. A later version, and version 0 (cards, whose
  instalments arise month by month), is known from the first day on which the file shows the account at
  that version or a later one (for cards: that instalment): a payment or a due date. Cautious, never early.
- Missing values were filled from the row above (``DAYS_ENDDATE_FACT`` of bureau credits that are still
  active equals the row above in 1,254 of 1,258 rows). A value other than 0 that equals the row above is
  blanked in the columns concerned, which costs a few true ones: ``DAYS_TERMINATION``, ``DAYS_ENDDATE_FACT``
  and the bureau's debt, limit and annuity (1,838 amounts). ``AMT_PAYMENT_CURRENT`` of the cards is not
  used: 46 of 86 rows hold one of two fillings.
- 365243 days means "never"; ``DAYS_TERMINATION`` lies before ``DAYS_DECISION`` in 52 approved loans.
- 147 of 1,147 customers have no application in the sample; they are customers without attributes.
- ``bureau``: one credit is one ``lender_id`` (lenders are not named). A row is reported on the day of its
  last update; the monthly rows of ``bureau_balance`` carry only the status: 0 and C no day past due, 1 to
  5 the lower end of their band (1, 31, 61, 91, 121 days), X unknown.
- ``pos_cash_balance`` (626 rows) has no table in the contract: monthly status without amounts, used here
  to check settlement. ``DEFAULTED`` speaks of the loan applied for, whose repayments are not in the set; it
  becomes no label.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from _common import Conversion, read_table, run, to_numbers

from overdue_ml import RecordsConfig

REFERENCE = pd.Timestamp("2018-01-01")
CONFIG = RecordsConfig(attributes=["education", "income_type", "housing_type"])
NEVER = 365_243
APPLICATION, PREVIOUS, INSTALMENTS = (
    "application.csv",
    "previous_application.csv",
    "installments_payments.csv",
)
BUREAU, BUREAU_MONTHS, CARDS, POS = (
    "bureau.csv",
    "bureau_balance.csv",
    "credit_card_balance.csv",
    "pos_cash_balance.csv",
)
_ATTRIBUTES = {
    "CODE_GENDER": "gender",
    "NAME_FAMILY_STATUS": "marital_status",
    "NAME_EDUCATION_TYPE": "education",
    "NAME_INCOME_TYPE": "income_type",
    "NAME_HOUSING_TYPE": "housing_type",
}
_PREVIOUS_NUMBERS = ["AMT_CREDIT", "DAYS_DECISION", "DAYS_TERMINATION", "CNT_PAYMENT"]
_INSTALMENT_NUMBERS = ["NUM_INSTALMENT_VERSION", "NUM_INSTALMENT_NUMBER", "DAYS_INSTALMENT"]
_INSTALMENT_NUMBERS += ["DAYS_ENTRY_PAYMENT", "AMT_INSTALMENT", "AMT_PAYMENT"]
_BUREAU_NUMBERS = ["DAYS_CREDIT", "CREDIT_DAY_OVERDUE", "DAYS_ENDDATE_FACT", "AMT_CREDIT_SUM_DEBT"]
_BUREAU_NUMBERS += ["AMT_CREDIT_SUM_LIMIT", "AMT_ANNUITY", "DAYS_CREDIT_UPDATE"]
_FILLED_AMOUNTS = ["AMT_CREDIT_SUM_DEBT", "AMT_CREDIT_SUM_LIMIT", "AMT_ANNUITY"]
_CARD_NUMBERS = {
    "AMT_BALANCE": "balance_amount",
    "AMT_CREDIT_LIMIT_ACTUAL": "credit_limit_amount",
    "AMT_INST_MIN_REGULARITY": "minimum_due_amount",
    "AMT_PAYMENT_TOTAL_CURRENT": "paid_amount",
    "AMT_DRAWINGS_CURRENT": "drawings_amount",
    "SK_DPD": "dpd",
}
#: The lower end of each band of days past due; X, unknown, has none.
_STATUS_DPD = {"0": 0, "C": 0, "1": 1, "2": 31, "3": 61, "4": 91, "5": 121}
_KEY = ["SK_ID_PREV", "NUM_INSTALMENT_NUMBER"]
#: Amounts have three decimals at most.
_CENT = 0.005


def to_dates(days: pd.Series) -> pd.Series:
    """Calendar days from days relative to the application; missing stays missing."""
    return (REFERENCE + pd.to_timedelta(days, unit="D")).astype("datetime64[us]")


def month_ends(months: pd.Series) -> pd.Series:
    """The reference day moved by whole months (0 or negative)."""
    moved = {month: REFERENCE + pd.DateOffset(months=int(month)) for month in months.dropna().unique()}
    return months.map(moved).astype("datetime64[us]")


def blank_filled(values: pd.Series) -> pd.Series:
    """Missing where a value other than 0 equals the row above: the set fills gaps from there."""
    return values.mask((values == values.shift()) & (values != 0))


def _customers(application: pd.DataFrame, *others: pd.DataFrame) -> pd.DataFrame:
    """Everybody in any file; attributes only of those whose application is there."""
    frame = application.rename(columns={"SK_ID_CURR": "customer_id", **_ATTRIBUTES})
    frame["age_years"] = (-frame["DAYS_BIRTH"] // 365.25).astype("Int64")
    ids = pd.concat([other["SK_ID_CURR"] for other in (application, *others)]).drop_duplicates()
    columns = ["customer_id", *_ATTRIBUTES.values(), "age_years"]
    everybody = pd.DataFrame({"customer_id": ids}).merge(frame[columns], how="left", on="customer_id")
    return everybody.sort_values("customer_id", ignore_index=True)


def _incomes(application: pd.DataFrame) -> pd.DataFrame:
    """The yearly income as declared in the application."""
    return pd.DataFrame(
        {
            "customer_id": application["SK_ID_CURR"],
            "received_on": REFERENCE,
            "amount": application["AMT_INCOME_TOTAL"],
            "kind": "declared",
        }
    ).sort_values("customer_id", ignore_index=True)


def _accounts(previous: pd.DataFrame, result: Conversion) -> pd.DataFrame:
    """Approved earlier loans and cards."""
    # In the order of the file, before any row goes: a gap was filled from the row above.
    ended = blank_filled(previous["DAYS_TERMINATION"].mask(previous["DAYS_TERMINATION"] == NEVER))
    previous = previous.assign(ended=ended.mask(ended < previous["DAYS_DECISION"]))
    approved = previous[previous["NAME_CONTRACT_STATUS"] == "Approved"].sort_values("SK_ID_PREV")
    reasons = previous["NAME_CONTRACT_STATUS"].str.lower().value_counts().drop("approved", errors="ignore")
    result.account_for(
        PREVIOUS,
        len(previous),
        len(approved),
        {f"no loan was made: {status}": int(n) for status, n in sorted(reasons.items())},
    )
    lost = approved["ended"].isna() & (approved["DAYS_TERMINATION"] != NEVER)
    what = "closing dates blanked: filled from the row above, or before the decision"
    result.changed[what] = int(lost.sum())
    is_card = approved["NAME_CONTRACT_TYPE"] == "Revolving loans"
    return pd.DataFrame(
        {
            "account_id": approved["SK_ID_PREV"],
            "customer_id": approved["SK_ID_CURR"],
            "opened_on": to_dates(approved["DAYS_DECISION"]),
            "product": approved["NAME_CONTRACT_TYPE"],
            "closed_on": to_dates(approved["ended"]),
            "principal_amount": approved["AMT_CREDIT"].mask(is_card),
            "credit_limit_amount": approved["AMT_CREDIT"].where(is_card),
            "term_months": approved["CNT_PAYMENT"].mask(approved["CNT_PAYMENT"] < 1).astype("Int64"),
        }
    ).reset_index(drop=True)


def _first_shown(rows: pd.DataFrame) -> pd.Series:
    """The first day, in days before the application, on which each row's version is seen to exist."""
    is_card = rows["NUM_INSTALMENT_VERSION"] == 0
    seen = rows[["DAYS_INSTALMENT", "DAYS_ENTRY_PAYMENT"]].min(axis=1)
    # A card's instalments are no versions of one plan: each is seen by itself.
    on_cards = seen.groupby([rows[name] for name in _KEY]).transform("min")
    # min over versions >= v: a later version proves that v was over by then, so it existed.
    order = rows.assign(seen=seen).sort_values("NUM_INSTALMENT_VERSION", ascending=False, kind="stable")
    by_version = order.groupby(["SK_ID_PREV", "NUM_INSTALMENT_VERSION"])["seen"].min().sort_index()
    running = by_version[::-1].groupby("SK_ID_PREV").cummin()
    keys = pd.MultiIndex.from_frame(rows[["SK_ID_PREV", "NUM_INSTALMENT_VERSION"]])
    on_loans = pd.Series(running.reindex(keys).to_numpy(), index=rows.index)
    shown = on_loans.mask(rows["NUM_INSTALMENT_VERSION"] == 1)
    return shown.mask(is_card, on_cards)


def _split_rows(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows as instalment versions with running sums of amounts, and as payments, each once."""
    rows = rows.sort_values([*_KEY, "NUM_INSTALMENT_VERSION", "DAYS_ENTRY_PAYMENT"], ignore_index=True)
    payment = [*_KEY, "DAYS_ENTRY_PAYMENT", "AMT_PAYMENT"]
    # Told again under another version it is the same payment; twice under one version it is two.
    copy = rows.groupby([*payment, "NUM_INSTALMENT_VERSION"]).cumcount()
    payments = rows.assign(copy=copy).drop_duplicates([*payment, "copy"])
    versions = rows.assign(shown=_first_shown(rows)).drop_duplicates([*_KEY, "NUM_INSTALMENT_VERSION"])
    group = versions.groupby(_KEY)
    versions = versions.assign(amount_due=group["AMT_INSTALMENT"].cumsum().round(3))
    # The surplus of a payment became the later version, on the day of the payment.
    later = group.cumcount() > 0
    versions["shown"] = versions["shown"].mask(later, versions["DAYS_ENTRY_PAYMENT"])
    return versions, payments


def _repayment(
    rows: pd.DataFrame, opened: pd.Series, keep_short: bool, result: Conversion
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The instalments and payments tables, and the way of the rows they came from."""
    known = rows["SK_ID_PREV"].isin(opened.index)
    versions, payments = _split_rows(rows[known])
    due = versions.groupby(_KEY)["amount_due"].max()
    short = due - payments.groupby(_KEY)["AMT_PAYMENT"].sum().reindex(due.index) > _CENT
    if keep_short:
        short[:] = False
    gone = short[short].index
    rows_gone = pd.MultiIndex.from_frame(rows[known][_KEY]).isin(gone)
    versions = versions[~pd.MultiIndex.from_frame(versions[_KEY]).isin(gone)]
    payments = payments[~pd.MultiIndex.from_frame(payments[_KEY]).isin(gone)]
    result.account_for(
        INSTALMENTS,
        len(rows),
        len(payments),
        {
            "the loan is not an approved one of the file": int((~known).sum()),
            "the instalment's payments are not all in the sample": int(rows_gone.sum()),
            "the same payment told again under a later version": int((~rows_gone).sum()) - len(payments),
        },
    )
    opening = versions["SK_ID_PREV"].map(opened)
    versions = versions.assign(known=versions["shown"].fillna(opening).clip(lower=opening))
    in_force = versions.drop_duplicates([*_KEY, "known"], keep="last")
    result.changed["versions merged: both known from the same day"] = len(versions) - len(in_force)
    instalments = pd.DataFrame(
        {
            "account_id": in_force["SK_ID_PREV"],
            "instalment_no": in_force["NUM_INSTALMENT_NUMBER"].astype("Int64"),
            "due_date": to_dates(in_force["DAYS_INSTALMENT"]),
            "amount_due": in_force["amount_due"],
            "known_on": to_dates(in_force["known"]),
        }
    )
    paid = pd.DataFrame(
        {
            "account_id": payments["SK_ID_PREV"],
            "paid_on": to_dates(payments["DAYS_ENTRY_PAYMENT"]),
            "amount": payments["AMT_PAYMENT"],
            "instalment_no": payments["NUM_INSTALMENT_NUMBER"].astype("Int64"),
        }
    )
    return instalments.reset_index(drop=True), paid.reset_index(drop=True)


def _statements(cards: pd.DataFrame, accounts: pd.DataFrame, result: Conversion) -> pd.DataFrame:
    """Monthly card balances; what was paid is what came in during the month that the statement ends."""
    cards = cards.sort_values(["SK_ID_PREV", "MONTHS_BALANCE"])
    known = cards["SK_ID_PREV"].isin(accounts["account_id"])
    reasons = {"the card is not an approved one of the file": int((~known).sum())}
    result.account_for(CARDS, len(cards), int(known.sum()), reasons)
    frame = cards[known].rename(columns=_CARD_NUMBERS)
    frame["dpd"] = frame["dpd"].astype("Int64")
    frame.insert(0, "account_id", frame["SK_ID_PREV"])
    frame.insert(1, "statement_date", month_ends(frame["MONTHS_BALANCE"]))
    columns = ["account_id", "statement_date", *_CARD_NUMBERS.values()]
    return frame[columns].reset_index(drop=True)


def _borrowings(bureau: pd.DataFrame, months: pd.DataFrame, result: Conversion) -> pd.DataFrame:
    """One row a credit at its last update, and one a month where the bureau tells the months."""
    blanked = bureau[_FILLED_AMOUNTS].apply(blank_filled)
    n_blanked = int((blanked.isna() & bureau[_FILLED_AMOUNTS].notna()).to_numpy().sum())
    result.changed["bureau amounts blanked: filled from the row above"] = n_blanked
    is_active = bureau["CREDIT_ACTIVE"] == "Active"
    ended = blank_filled(bureau["DAYS_ENDDATE_FACT"]).mask(is_active)
    ended = ended.mask(ended < bureau["DAYS_CREDIT"])
    latest = pd.DataFrame(
        {
            "customer_id": bureau["SK_ID_CURR"],
            "reported_on": to_dates(bureau["DAYS_CREDIT_UPDATE"]),
            "lender_id": bureau["SK_ID_BUREAU"],
            "balance_amount": blanked["AMT_CREDIT_SUM_DEBT"],
            "credit_limit_amount": blanked["AMT_CREDIT_SUM_LIMIT"],
            "monthly_due_amount": blanked["AMT_ANNUITY"],
            "dpd": bureau["CREDIT_DAY_OVERDUE"].astype("Int64"),
            "opened_on": to_dates(bureau["DAYS_CREDIT"]),
            "closed_on": to_dates(ended),
        }
    )
    # An end later than the update cannot have been known with it.
    latest["known_on"] = latest[["reported_on", "closed_on"]].max(axis=1)
    people = latest.drop_duplicates("lender_id")[["lender_id", "customer_id", "opened_on"]]
    told = months.rename(columns={"SK_ID_BUREAU": "lender_id"}).merge(people, on="lender_id")
    reasons = {"the credit is not in the file": len(months) - len(told)}
    result.account_for(BUREAU, len(bureau), len(latest))
    result.account_for(BUREAU_MONTHS, len(months), len(told), reasons)
    # Months of equal length stand for the source's own: a first report may fall before the opening.
    told["reported_on"] = np.maximum(month_ends(told["MONTHS_BALANCE"]), told["opened_on"])
    told["known_on"] = told["reported_on"]
    told["dpd"] = told["STATUS"].map(_STATUS_DPD).astype("Int64")
    both = pd.concat([latest, told[[name for name in latest.columns if name in told.columns]]])
    return both.sort_values(["customer_id", "lender_id", "reported_on", "dpd"], ignore_index=True)


def convert_with_counts(folder: Path, *, keep_short: bool = False) -> Conversion:
    """The seven files as tables of the contract, with the way of every row.

    Parameters
    ----------
    folder : Path
        Holds the seven CSV files.
    keep_short : bool, default False
        Keep instalments whose payments are not all in the sample; they look overdue for ever.

    Returns
    -------
    Conversion
        ``customers``, ``accounts``, ``instalments`` (in versions), ``payments``, ``statements``,
        ``incomes`` and ``borrowings``.

    Raises
    ------
    RecordsError
        If a file or column is missing or a cell cannot be read.
    """
    read = partial(_read, folder)
    application = read(APPLICATION, ["SK_ID_CURR", *_ATTRIBUTES], ["DAYS_BIRTH", "AMT_INCOME_TOTAL"])
    previous = read(
        PREVIOUS,
        ["SK_ID_PREV", "SK_ID_CURR", "NAME_CONTRACT_TYPE", "NAME_CONTRACT_STATUS"],
        _PREVIOUS_NUMBERS,
    )
    rows = read(INSTALMENTS, ["SK_ID_PREV", "SK_ID_CURR"], _INSTALMENT_NUMBERS)
    bureau = read(BUREAU, ["SK_ID_CURR", "SK_ID_BUREAU", "CREDIT_ACTIVE"], _BUREAU_NUMBERS)
    months = read(BUREAU_MONTHS, ["SK_ID_BUREAU", "STATUS"], ["MONTHS_BALANCE"])
    cards = read(CARDS, ["SK_ID_PREV"], ["MONTHS_BALANCE", *_CARD_NUMBERS])
    pos = read(POS, ["SK_ID_PREV"], [])
    result = Conversion()
    result.account_for(APPLICATION, len(application), len(application))
    accounts = _accounts(previous, result)
    opened = previous.groupby("SK_ID_PREV")["DAYS_DECISION"].min().reindex(accounts["account_id"].unique())
    instalments, payments = _repayment(rows, opened, keep_short, result)
    result.account_for(POS, len(pos), 0, {"no table for a monthly status without amounts": len(pos)})
    result.tables = {
        "customers": _customers(application, previous, bureau),
        "accounts": accounts,
        "instalments": instalments,
        "payments": payments,
        "statements": _statements(cards, accounts, result),
        "incomes": _incomes(application),
        "borrowings": _borrowings(bureau, months, result),
    }
    return result


def _read(folder: Path, file: str, texts: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    return to_numbers(read_table(folder / file, [*texts, *numbers]), numbers)


def convert(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables alone; see :func:`convert_with_counts`."""
    return convert_with_counts(folder).tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, write, load and report from the command line."""
    return run(convert_with_counts, CONFIG, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
