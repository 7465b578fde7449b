"""Who is not reminded, by lot, so that one can tell what reminders do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np

from overdue_ml.reminders.scored import Bools


def draw_holdout(customer_ids: Iterable[str], campaign: str, share: float) -> Bools:
    """Draw customers by a hash of the campaign's name and their own.

    Nothing else decides: not the date, the order, or who else is there. A customer stays in one arm for a
    whole campaign; a larger share keeps those of a smaller one, and another campaign draws anew.

    Parameters
    ----------
    customer_ids : iterable of str
    campaign : str
    share : float
        From 0 to below 1.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for those held out: the first 8 bytes of the SHA-256 of ``<length of campaign in
        bytes>:<campaign>:<customer_id>``, as a number, are below share x 2^64.

    Examples
    --------
    >>> draw_holdout(["c1", "c4", "c7"], "spring", 0.35).tolist()
    [False, True, True]
    """
    name, sha256 = campaign.encode(), hashlib.sha256
    # The length keeps campaign 'a' with customer 'b:c' apart from campaign 'a:b' with customer 'c'.
    prefix = b"%d:%s:" % (len(name), name)
    digests = b"".join([sha256(prefix + customer.encode()).digest() for customer in customer_ids])
    first = np.frombuffer(digests, dtype=">u8")[::4]
    return np.asarray(first < np.uint64(int(share * 2**64)))
