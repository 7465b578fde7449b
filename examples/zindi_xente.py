"""Xente pay-later loans, Uganda, issued 2018-10 to 2019-03, repaid up to 2019-07 (a Zindi competition).

One row of ``Train.csv`` is one repayment, or a transaction that became no loan. What the columns mean, as
measured on its 2,100 rows (1,488 with a loan, 1,159 loans, 239 customers):

- ``LoanId`` is the account, ``IssuedDateLoan`` its opening, ``Value`` the amount borrowed (the same in all
  rows of a loan). ``Amount`` is minus the price of the purchase; in 105 rows ``Value`` is above it.
- ``AmountLoan`` is NOT the loan: it is what was paid back on ``PaidOnDate``, fees included, and it differs
  between the rows of 137 loans. It is always positive; there are no reversals.
- ``DueDate`` is the same in all rows of a loan: one instalment a loan, 30 days after the issue in all
  1,157 loans that have one. The two others get that date.
- The fee grows with time: 4 % at once and 0.5 % for each full day, up to 48.5 % in all. Of the 971 loans
  repaid at one go 97.3 % paid that tariff to within 0.6 % of the value. So two versions of the
  instalment are written: from the issue, the value and the tariff's fee on the due date (19 %); from the
  last repayment that ``IsFinalPayBack`` calls final, what was paid in all, since the lender then took the
  loan for finished (1,084 loans; 5 of them for less than the value). A loan that is repaid early thus
  owes less than 119 %, but nobody knows before the day it happens.
- ``IsFinalPayBack`` is 1 in one row of a finished loan, in one loan in three. 75 loans are not finished.
- ``IsDefaulted`` (71 loans) does not mean "paid late" but "never finished": 68 of the 71 are among those
  75, while of the 275 finished loans that were last paid after the due date only 3 have it. As of the last
  repayment settlement calls 72 loans unpaid, 67 of them with that flag: the two agree in 99.2 % of the
  loans. Late at any time were 350 loans (30.2 %), all 71 with the flag among them.
- ``PayBackId`` names a repayment; in 3 loans it stands twice, once for each of two transactions of one
  minute. The repetition is left out, or the loan would have been paid twice.
- ``IsThirdPartyConfirmed`` is 0 in 26 rows, 25 of them final: real payments; kept as a column.
- ``TransactionStatus`` is 0 in exactly the 612 rows without a loan: nothing was lent. They are left out.
- The clock times carry no zone; issues are rarest from 22 to 3 o'clock as written, which suits UTC better
  than Kampala (three hours ahead). They are cut to days as they stand; 3.8 % of the repayments were made
  at 21 o'clock or later and may belong to the next day. A zone, where one stands, is read in Kampala.
- ``Test.csv`` (905 rows, 478 loans) has neither due dates nor repayments, and
  ``unlinked_masked_final.csv`` (16,327 rows) no loans. Where the files are there their rows are counted
  as left out: a loan without its repayments would look unpaid.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from _common import Conversion, read_table, run, to_days, to_numbers

from overdue_ml import RecordsConfig
from overdue_ml.errors import RecordsError

TRAIN = "Train.csv"
_OTHERS = {
    "Test.csv": "neither due date nor repayments",
    "unlinked_masked_final.csv": "purchases without a loan",
}
_COLUMNS = ["CustomerId", "LoanId", "IssuedDateLoan", "DueDate", "Value", "ProductCategory", "InvestorId"]
_COLUMNS += ["PayBackId", "PaidOnDate", "AmountLoan", "IsFinalPayBack", "IsThirdPartyConfirmed"]
_LOAN_COLUMNS = ["CustomerId", "IssuedDateLoan", "DueDate", "Value", "ProductCategory", "InvestorId"]
_SAME_REPAYMENT = ["LoanId", "PayBackId", "PaidOnDate", "AmountLoan"]
TIMEZONE = "Africa/Kampala"
CONFIG = RecordsConfig(timezone=TIMEZONE)
TERM_DAYS = 30
#: 4 % at once and 0.5 % a day for the 30 days until the loan is due.
FEE_ON_DUE_DATE_PERCENT = 19


def _check_loans_agree(rows: pd.DataFrame) -> None:
    """A loan stands in several rows; what describes the loan must be the same in all of them."""
    differ = rows.groupby("LoanId")[_LOAN_COLUMNS].nunique(dropna=False).gt(1)
    if differ.any(axis=None):
        column = str(differ.any().idxmax())
        raise RecordsError(
            f"the rows of {int(differ[column].sum())} loans differ in {column}",
            where=f"{TRAIN}, {differ.index[differ[column]][0]}",
            expected="one value a loan",
        )


def _summarise_loans(repayments: pd.DataFrame) -> pd.DataFrame:
    """One row a loan: its own columns, and when and with how much the lender called it finished."""
    final = repayments[repayments["IsFinalPayBack"] == "1"]
    finished_on = final.groupby("LoanId")["PaidOnDate"].max().rename("finished_on")
    loans = repayments.drop_duplicates("LoanId")[["LoanId", *_LOAN_COLUMNS]].merge(
        finished_on, how="left", left_on="LoanId", right_index=True
    )
    by_then = repayments.merge(finished_on, left_on="LoanId", right_index=True)
    by_then = by_then[by_then["PaidOnDate"] <= by_then["finished_on"]]
    paid = by_then.groupby("LoanId")["AmountLoan"].sum().rename("paid_amount")
    return loans.merge(paid, how="left", left_on="LoanId", right_index=True)


def _instalments(loans: pd.DataFrame) -> pd.DataFrame:
    """One instalment a loan: as agreed, and as it turned out once the lender called it finished."""
    agreed = pd.DataFrame(
        {
            "account_id": loans["LoanId"],
            "due_date": loans["DueDate"],
            "amount_due": (loans["Value"] * (100 + FEE_ON_DUE_DATE_PERCENT) / 100).round(2),
            "principal_due": loans["Value"],
            "known_on": loans["IssuedDateLoan"],
        }
    )
    # Finished on the day of the issue: at the end of that day there is one version, the final one.
    agreed = agreed[loans["finished_on"] != loans["IssuedDateLoan"]]
    finished = loans[loans["finished_on"].notna()]
    final = pd.DataFrame(
        {
            "account_id": finished["LoanId"],
            "due_date": finished["DueDate"],
            "amount_due": finished["paid_amount"],
            "principal_due": finished[["Value", "paid_amount"]].min(axis=1),
            "known_on": finished["finished_on"],
        }
    )
    both = pd.concat([agreed, final]).sort_values(["account_id", "known_on"], ignore_index=True)
    both.insert(1, "instalment_no", 1)
    both["interest_due"] = (both["amount_due"] - both["principal_due"]).round(2)
    return both


def _read_repayments(path: Path, result: Conversion) -> pd.DataFrame:
    """Rows with a loan, typed and each repayment once, sorted by its id; the others are counted."""
    rows = read_table(path, _COLUMNS, missing=("", "NA"))
    with_loan = rows[rows["LoanId"].notna()]
    # Which of two equal repayments stays must not depend on the order of the file.
    repayments = with_loan.sort_values(_COLUMNS).drop_duplicates(_SAME_REPAYMENT)
    result.account_for(
        path.name,
        len(rows),
        len(repayments),
        {
            "no loan was given": len(rows) - len(with_loan),
            "the same repayment told again": len(with_loan) - len(repayments),
        },
    )
    repayments = to_numbers(repayments, ["Value", "AmountLoan"])
    for name in ("IssuedDateLoan", "DueDate", "PaidOnDate"):
        repayments[name] = to_days(repayments[name], TIMEZONE)
    _check_loans_agree(repayments)
    return repayments.sort_values("PayBackId", ignore_index=True)


def convert_with_counts(folder: Path) -> Conversion:
    """Loans and repayments as tables of the contract, with the way of every row.

    Parameters
    ----------
    folder : Path
        Holds ``Train.csv``; the rows of the other two files are only counted.

    Returns
    -------
    Conversion
        ``customers`` (those with a loan), ``accounts``, ``instalments`` (in versions), ``payments``.

    Raises
    ------
    RecordsError
        If the file or a column is missing, a cell cannot be read, or the rows of a loan contradict each
        other.
    """
    result = Conversion()
    repayments = _read_repayments(folder / TRAIN, result)
    for name, reason in _OTHERS.items():
        if (folder / name).is_file():
            n = len(read_table(folder / name, ["CustomerId"]))
            result.account_for(name, n, 0, {reason: n})
    loans = _summarise_loans(repayments).sort_values("LoanId", ignore_index=True)
    result.changed["due dates derived, 30 days after the issue"] = int(loans["DueDate"].isna().sum())
    loans["DueDate"] = loans["DueDate"].fillna(loans["IssuedDateLoan"] + pd.Timedelta(days=TERM_DAYS))
    result.tables = {
        "customers": pd.DataFrame({"customer_id": sorted(loans["CustomerId"].unique())}),
        "accounts": pd.DataFrame(
            {
                "account_id": loans["LoanId"],
                "customer_id": loans["CustomerId"],
                "opened_on": loans["IssuedDateLoan"],
                "product": loans["ProductCategory"],
                "closed_on": loans["finished_on"],
                "principal_amount": loans["Value"],
                "investor_id": loans["InvestorId"],
            }
        ),
        "instalments": _instalments(loans),
        "payments": pd.DataFrame(
            {
                "payment_id": repayments["PayBackId"],
                "account_id": repayments["LoanId"],
                "paid_on": repayments["PaidOnDate"],
                "amount": repayments["AmountLoan"],
                "instalment_no": 1,
                "is_confirmed": repayments["IsThirdPartyConfirmed"] == "1",
            }
        ),
    }
    return result


def convert(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables alone; see :func:`convert_with_counts`."""
    return convert_with_counts(folder).tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, write, load and report from the command line."""
    return run(convert_with_counts, CONFIG, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
