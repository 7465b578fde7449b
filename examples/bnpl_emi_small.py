"""Pay-later orders in instalments, 2022-02 to 2024-06: one down payment, then equal instalments.

What the columns mean, as measured on the 1,000 orders and 2,883 repayments:

- ``downPaymentAmount`` is due on the day of the order: it is covered that day in 995 orders, the others
  1 to 14 days later. ``tenure`` counts the instalments AFTER it, of ``emiPrincipal + emiInterest`` each.
  680 orders were paid to within 1 of down payment + tenure x instalment; most of the others are young.
- No due date stands in the files. The rule here: instalment k is due 30 x k days after the order. Of the
  1,655 instalments that so fell due by the last repayment day 1,583 were covered, 82.9 % of these on or
  before that day and 20.0 % on the very day. By calendar months, the other obvious rule, 9.4 % were covered
  on the very day: 30 days is what the payments follow. It stays a derived date.
- Every stamp is midnight with a ``Z``: a date in a stamp's clothes. The date is taken as it stands, and
  another clock time is refused, as in a zone west of Greenwich it would fall on the day before.
- 32 amounts are negative, in 25 orders. Each of these orders was paid off early in full although the down
  payment was in already; the negative rows take the surplus back, and the net sum is the total to within
  1. They are reversals, not cancelled orders.
- 251 rows repeat an earlier one to the letter, in 187 orders: two instalments paid on one day. Kept, 137
  of these orders come to their total, without the repetitions 9. So they are events, and no payment id is
  made up for them.
- An order is divided into whole amounts, which may be 1 or 2 off: without a tolerance of 2, 6 more
  instalments would look unpaid (448 instead of 442 on the last day, most of them not due yet).
- 73 orders were paid more than their total; the surplus stays in the pool. The currency is not named.
- There is no customer id: every order is its own customer, so nothing is known of repeat buyers.
- The last repayment is of 2024-06-25; what was unpaid then is not known to be unpaid later.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from _common import Conversion, read_table, run, to_days, to_numbers

from overdue_ml import RecordsConfig
from overdue_ml.errors import RecordsError

ORDERS, REPAYMENTS = "wt_transactions.csv", "wt_repayments.csv"
_AMOUNTS = ["downPaymentAmount", "emiPrincipal", "emiInterest"]
#: An order is divided into whole amounts, so a payment may be 1 or 2 short of its instalment.
CONFIG = RecordsConfig(timezone="UTC", tolerance_amount=2.0)
DAYS_BETWEEN_DUES = 30


def _dates(stamps: pd.Series) -> pd.Series:
    """Days of stamps that must be midnight in UTC."""
    clocks = stamps[~stamps.str.fullmatch(r"\d{4}-\d{2}-\d{2}T00:00:00Z", na=False)]
    if len(clocks):
        raise RecordsError(
            f"the stamp '{clocks.iloc[0]}' is not a date at midnight UTC",
            where=str(stamps.name),
            next_step="find out in which zone the clock times are",
        )
    return to_days(stamps, "UTC")


def _instalments(orders: pd.DataFrame) -> pd.DataFrame:
    """The down payment as instalment 0, due at once, and instalments 1 to tenure."""
    counts = orders["tenure"].astype("int64") + 1
    rows = orders.loc[orders.index.repeat(counts)].reset_index(drop=True)
    number = rows.groupby("transactionId").cumcount()
    is_down_payment = number == 0
    principal = np.where(is_down_payment, rows["downPaymentAmount"], rows["emiPrincipal"])
    interest = np.where(is_down_payment, 0.0, rows["emiInterest"])
    return pd.DataFrame(
        {
            "account_id": rows["transactionId"],
            "instalment_no": number.astype("int32"),
            "due_date": rows["day"] + pd.to_timedelta(DAYS_BETWEEN_DUES * number, unit="D"),
            "amount_due": principal + interest,
            "principal_due": principal,
            "interest_due": interest,
        }
    )


def convert_with_counts(folder: Path) -> Conversion:
    """Orders and repayments as tables of the contract, with the way of every row.

    Parameters
    ----------
    folder : Path
        Holds ``wt_transactions.csv`` and ``wt_repayments.csv``.

    Returns
    -------
    Conversion
        ``customers``, ``accounts``, ``instalments`` and ``payments``.

    Raises
    ------
    RecordsError
        If a file or column is missing, a cell cannot be read, or a tenure is not a whole number from 1.
    """
    orders = read_table(folder / ORDERS, ["transactionId", "day", *_AMOUNTS, "tenure"])
    orders = to_numbers(orders, [*_AMOUNTS, "tenure"])
    odd = orders["tenure"].isna() | (orders["tenure"] % 1 != 0) | (orders["tenure"] < 1)
    if odd.any():
        raise RecordsError(
            f"{int(odd.sum())} orders have no usable tenure",
            where=f"order {orders['transactionId'][odd].iloc[0]}",
            expected="a whole number from 1",
        )
    orders["day"] = _dates(orders["day"])
    orders = orders.sort_values("transactionId", ignore_index=True)
    repayments = to_numbers(
        read_table(folder / REPAYMENTS, ["transactionId", "repaymentDay", "amount"]), ["amount"]
    )
    repayments["repaymentDay"] = _dates(repayments["repaymentDay"])
    repayments = repayments.sort_values(["transactionId", "repaymentDay", "amount"], ignore_index=True)
    known = repayments["transactionId"].isin(orders["transactionId"])
    result = Conversion()
    result.account_for(ORDERS, len(orders), len(orders))
    result.account_for(
        REPAYMENTS, len(repayments), int(known.sum()), {"the order is not in the file": int((~known).sum())}
    )
    result.tables = {
        "customers": pd.DataFrame({"customer_id": orders["transactionId"]}),
        "accounts": pd.DataFrame(
            {
                "account_id": orders["transactionId"],
                "customer_id": orders["transactionId"],
                "opened_on": orders["day"],
                "product": "pay_later",
                "principal_amount": orders["downPaymentAmount"] + orders["tenure"] * orders["emiPrincipal"],
                "term_months": orders["tenure"].astype("int32"),
            }
        ),
        "instalments": _instalments(orders),
        "payments": repayments[known]
        .rename(columns={"transactionId": "account_id", "repaymentDay": "paid_on"})
        .reset_index(drop=True),
    }
    result.changed["due dates derived, 30 days apart"] = len(result.tables["instalments"])
    return result


def convert(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables alone; see :func:`convert_with_counts`."""
    return convert_with_counts(folder).tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, write, load and report from the command line."""
    return run(convert_with_counts, CONFIG, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
