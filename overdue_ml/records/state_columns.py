"""The columns of a state of an instalment, as plain whole numbers.

Days are counted from 1970-01-01, amounts in units of 1 / ``UNITS``; ``NONE`` is no date. The first column is
the position of the account, the rows are named as in :func:`overdue_ml.records.compute_histories`.
"""

from __future__ import annotations

from overdue_ml.records._ledger import NONE as NONE
from overdue_ml.records._ledger import UNITS as UNITS

SLOT, NUMBER, FROM, UNTIL, DUE_DATE, DUE, PAID, SETTLED, SETTLED_ON = range(9)
N_PAYMENTS, N_REVERSALS, TECHNICAL, RECEIVED, LAST, N_COLUMNS = range(9, 15)
ACCOUNT = SLOT
