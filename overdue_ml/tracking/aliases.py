"""Moving aliases: promotion behind gates, and going back. Each move is on the record, with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from overdue_ml.config import GatesConfig
from overdue_ml.errors import ModelError
from overdue_ml.tracking.gates import Gate, check_gates
from overdue_ml.tracking.promotion import (
    LOG,
    NOTICED,
    PROMOTION,
    ROLLBACK,
    Line,
    append_promotion,
    champions,
    read_log,
    standing,
)
from overdue_ml.tracking.registry import RegisteredModel, alias_version, load_model
from overdue_ml.tracking.store import Store, answering, locked, mlflow_module

ALIASES = ("champion", "challenger")


@dataclass(frozen=True)
class Policy:
    """The gates of a promotion.

    Attributes
    ----------
    gates : GatesConfig
    override : str
        Why a champion is wanted although gates failed; empty: then it is refused.
    """

    gates: GatesConfig = field(default_factory=GatesConfig)
    override: str = ""


def promote(
    store: Store,
    name: str,
    version: str,
    alias: str,
    by: str,
    reason: str = "",
    policy: Policy | None = None,
) -> Line:
    """Give a version an alias and write the promotion log.

    The version is verified first: a champion that cannot be loaded is refused. Gates hold back a champion
    only; of a challenger they are put on the record.

    Parameters
    ----------
    store : Store
    name, version : str
    alias : {'champion', 'challenger'}
    by : str
        Who promotes.
    reason : str
        Evidence, in words.
    policy : Policy, optional
        The gates; without it none is asked, as the line then says.

    Returns
    -------
    dict
        The line that was appended to ``promotions.jsonl``.

    Raises
    ------
    ModelError
        If the alias is unknown, the version cannot be verified, a gate fails, the log's chain is broken or
        the log cannot be written; the alias then stands where it stood.
    """
    if alias not in ALIASES:
        raise ModelError(f"the alias '{alias}' is unknown", expected=f"one of {', '.join(ALIASES)}")
    override = policy.override.strip() if policy else ""
    with answering(store, f"version {version} was not promoted"), locked(store.folder / ".lock"):
        loaded = load_model(store, f"{name}/{version}")
        before = _settle(store, name, alias, by)[0]
        gates: list[Gate] = []
        if policy is not None:
            gates = check_gates(store, loaded, alias_version(store, name, "champion"), policy.gates)
        failed = [gate for gate in gates if not gate.passed]
        if failed and alias == "champion" and not override:
            raise _refusal(loaded, failed)
        entry: Line = {"kind": PROMOTION, "by": by, "reason": reason}
        entry["gates"] = [gate.to_dict() for gate in gates] if policy is not None else "not asked"
        if override:
            entry["override"] = override
        return _move(store, loaded, alias, before, entry)


def _refusal(loaded: RegisteredModel, failed: Sequence[Gate]) -> ModelError:
    return ModelError(
        f"version {loaded.version} does not pass {len(failed)} gate(s) of a champion: "
        + " | ".join(gate.sentence() for gate in failed),
        where=f"model {loaded.name}",
        next_step="the champion is unchanged; train a better one, or promote with --override and a reason",
    )


def roll_back(store: Store, name: str, by: str, reason: str) -> Line:
    """Make the version champion again that was it before the present one, by the log.

    A second rollback goes further back, not to and fro: what was rolled back is out of the row until it is
    promoted again. No gate is asked: the version passed its own when it was promoted.

    Parameters
    ----------
    store : Store
    name : str
    by, reason : str
        Neither may be empty.

    Returns
    -------
    dict
        The line that was appended to ``promotions.jsonl``.

    Raises
    ------
    ModelError
        If there is no earlier champion, it cannot be verified, or the alias does not stand where the log has
        it; that is put on the record, and a second call goes on from there.
    """
    if not by.strip() or not reason.strip():
        raise ModelError("a rollback needs a name and a reason", next_step="give --by and --reason")
    with answering(store, "nothing was rolled back"), locked(store.folder / ".lock"):
        before, noticed = _settle(store, name, "champion", by)
        if noticed is not None:
            raise ModelError(
                f"{noticed['reason']}; that is on the record now, and nothing was rolled back",
                where=LOG,
                next_step="look which version should be champion; a second rollback goes on from there",
            )
        row = champions(read_log(store.folder / LOG).lines, name)
        if len(row) < 2 or not before:
            raise ModelError(
                f"there is no champion of '{name}' to go back to",
                where=LOG,
                expected="a version that was champion before the present one",
            )
        loaded = load_model(store, f"{name}/{row[-2]}")
        entry: Line = {"kind": ROLLBACK, "by": by, "reason": reason}
        return _move(store, loaded, "champion", before, entry)


def _settle(store: Store, name: str, alias: str, by: str) -> tuple[str, Line | None]:
    """Where the alias stands, and the line that says so where the log had it elsewhere."""
    log = store.folder / LOG
    # A log that cannot be continued is found here, before the alias moves.
    told = standing(read_log(log).lines, name, alias)
    found = alias_version(store, name, alias)
    if found == told:
        return found, None
    where, then = (f"version {v}" if v else "no version" for v in (found, told))
    reason = (
        f"the alias '{alias}' stands on {where} and the log has it on {then}: it was moved by other means, "
        "or a process was killed before it wrote the log"
    )
    try:
        time = _registry_time(store, name, found or told)
    except mlflow_module().exceptions.MlflowException:
        time = "0"  # The version is gone altogether; the log then takes the time of the line before.
    entry = {
        "kind": NOTICED, "model": name, "alias": alias, "version": found, "from_version": told,
        "by": by, "reason": reason, "registry_time_ms": time,
    }  # fmt: skip
    return found, append_promotion(log, entry)


def _registry_time(store: Store, name: str, version: str) -> str:
    """The registry's own clock, read off a version that is written as it was: nothing here reads the time.

    Moving an alias leaves no time in MLflow.
    """
    client = store.client()
    description = client.get_model_version(name, version).description or ""
    stamp = client.update_model_version(name, version, description=description).last_updated_timestamp
    return str(stamp)


def _move(store: Store, loaded: RegisteredModel, alias: str, before: str, entry: Line) -> Line:
    """Move an alias and write the line; where that fails, the alias goes back."""
    client, name = store.client(), loaded.name
    client.set_registered_model_alias(name, alias, loaded.version)
    facts: dict[str, Any] = {
        "model": name, "alias": alias, "version": loaded.version, "from_version": before,
        "bundle_hash": loaded.bundle_hash, "run_id": loaded.run_id,
    }  # fmt: skip
    try:
        facts["registry_time_ms"] = _registry_time(store, name, loaded.version)
        return append_promotion(store.folder / LOG, entry | facts)
    except BaseException:
        if before:
            client.set_registered_model_alias(name, alias, before)
        else:
            client.delete_registered_model_alias(name, alias)
        raise
