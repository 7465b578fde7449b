"""Scoring runs killed with SIGKILL again and again until one comes to its end; prints JSON.

A process of its own: it imports everything once and starts no thread, so that children can be forked.
Steps are the file operations that Python reports to audit hooks.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overdue_ml.config import BatchConfig, RemindersConfig, ScoreConfig
from overdue_ml.explain import build_explainer
from overdue_ml.jobs.export import load_export
from overdue_ml.jobs.score import ScoreSettings, run_score
from overdue_ml.records.dates import parse_date

STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree", "os.listdir"}
STEPS |= {"os.scandir", "os.chmod", "os.truncate"}


def forked(work: Callable[[], None]) -> int:
    """A child that does some work."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return child


def in_child(work: Callable[[], None]) -> int:
    """Wait status of a child that did some work."""
    return os.waitpid(forked(work), 0)[1]


def count_steps(folder: Path, at: int | None, told: Path | None) -> None:
    """Kill this process at a step under a folder, or write down how many there have been so far."""
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in STEPS and args and str(folder) in str(args[0]):
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)
            if told is not None:
                os.write(descriptor, f"{seen}\n".encode())

    descriptor = os.open(told, os.O_CREAT | os.O_WRONLY) if told is not None else -1
    sys.addaudithook(hook)


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file of every run that stands there, but for how long it took."""
    files = [p for p in sorted(out.glob("as_of=*/**/*")) if p.is_file() and p.name != "timings.json"]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def ready(out: Path) -> set[int]:
    """Buckets that a run which was begun has finished."""
    return {int(p.stem) for p in out.glob(".as_of=*/parts-*/[0-9]*.json")}


class Kills:
    """Attempts at one run, each beside the same older run, and what was seen after each of them."""

    def __init__(self, run: Callable[[Path], None], older: Path, root: Path) -> None:
        self._run, self._older, self._root = run, older, root
        self.partial: list[Any] = []
        self.redone: list[Any] = []
        self.kept = 0
        whole, told, start = self._fresh("whole"), root / "steps", time.monotonic()

        def undisturbed() -> None:
            count_steps(whole, None, told)
            run(whole)

        assert in_child(undisturbed) == 0
        self.seconds = time.monotonic() - start
        self.steps = int(told.read_text().split()[-1])
        self.before, self.after = digests(older), digests(whole)

    def _fresh(self, name: str) -> Path:
        return Path(shutil.copytree(self._older, self._root / name))

    def until_it_ends(self, name: str, kill: Callable[[Path], int], most: int) -> dict[str, Any]:
        """Kill one attempt after another, in the same place, until one is over before it is killed."""
        out, kills, status = self._fresh(name), 0, 1
        while status != 0:
            finished = ready(out)
            self.kept += len(finished)
            there = digests(out) == self.after
            status = kill(out) if kills < most else in_child(lambda: self._run(out))
            kills += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            if status and not os.WIFSIGNALED(status):
                raise SystemExit(f"the run failed: {status}")
            now = digests(out)
            if now not in (self.before, self.after):
                self.partial.append([name, kills])
            if now == self.after and not there:
                timings = json.loads((out / "as_of=2005-09-30.run2" / "timings.json").read_text())
                again = {bucket for bucket, _, _, was_there in timings["buckets"] if not was_there}
                if again & finished:
                    self.redone.append([name, kills, sorted(again & finished)])
        # Once more, for whoever was killed when all was in place.
        status = in_child(lambda: self._run(out))
        left = sorted(p.name for p in out.iterdir() if not p.name.startswith("as_of="))
        return {"kills": kills, "status": status, "same": digests(out) == self.after, "left": left}


def main(export: str, buckets: str, root: str, explain: str, n_steps: str, n_times: str) -> None:
    """Kill run after run: at random steps first, then at random times."""
    registered, _ = load_export(Path(export))
    score, batch = ScoreConfig(explain=explain), BatchConfig(threads=1)
    # Compiled code is loaded once for all children.
    build_explainer(registered.model.classifier)

    def run(out: Path, lead_days: int = 31) -> None:
        settings = ScoreSettings(score, RemindersConfig(lead_days=lead_days), batch=batch)
        run_score(Path(buckets), parse_date("2005-09-30"), registered, out, settings)

    older = Path(root) / "older"
    assert in_child(lambda: run(older, 7)) == 0
    kills, chance, ends = Kills(run, older, Path(root)), random.Random(0), []

    def at_a_step(out: Path) -> int:
        at = chance.randint(1, kills.steps)

        def work() -> None:
            count_steps(out, at, None)
            run(out)

        return in_child(work)

    def at_a_time(out: Path) -> int:
        child = forked(lambda: run(out))
        time.sleep(chance.uniform(0, kills.seconds))
        os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    for kill, wanted in ((at_a_step, int(n_steps)), (at_a_time, int(n_times))):
        done = 0
        while done < wanted:
            ends.append(kills.until_it_ends(f"out{len(ends)}", kill, wanted - done))
            done += ends[-1]["kills"]
    said = {
        "steps": kills.steps,
        "kept": kills.kept,
        "partial": kills.partial,
        "redone": kills.redone,
        "ends": ends,
    }
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
