"""Searches while a log is sealed and merged: none fails, repeats or misses a published entry.

A real `meshtrail up` under load, with a short tick so that files come and are merged all the time;
beside it threads that search. Every record has a name that counts up within its sender, and every
answer is held against what was published before its search began.
`python -m tests.faults.readers --queries 1000` is the long form.
"""

from __future__ import annotations

import argparse
import random  # noqa: TID251 - seeded, so that a campaign asks the same questions again
import re
import sys
import tempfile
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshtrail.note import VerifierKey, parse_vkey
from meshtrail.search.follow import Follower
from meshtrail.search.limits import SearchLimits
from meshtrail.search.period import Period
from meshtrail.search.plan import SearchRequest
from meshtrail.search.searcher import Searcher
from meshtrail.store.layout import Layout
from meshtrail.store.manifest_files import manifest_numbers, manifest_path
from meshtrail.units import UnixNanos
from tests.faults.kill import RECORD_NAME, Sender, UpProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

SENDERS_COUNT: Final = 3
READERS_COUNT: Final = 3
ROWS_MAX: Final = 5_000
ENTRIES_MIN: Final = 2_000
"""Questions begin when so many are published."""

NAME: Final = re.compile(re.escape(RECORD_NAME.decode()) + r"(\d+)/(\d+)")
NO_TIME: Final = UnixNanos(0)


class Reader(threading.Thread):
    """Asks questions until all are asked."""

    def __init__(self, campaign: Campaign, number: int) -> None:
        super().__init__(name=f"reader-{number}", daemon=True)
        self.error: BaseException | None = None
        self.asked: Counter[str] = Counter()
        self._campaign = campaign
        self._chance = random.Random(campaign.seed * 100 + number)  # noqa: S311 - to be asked again
        self._known: dict[int, str] = {}
        self._questions: list[Callable[[Searcher], None]] = [
            self._ask_for_a_range,
            self._ask_for_a_name,
            self._ask_for_a_sender,
            self._ask_in_sql,
        ]

    def run(self) -> None:
        try:
            with self._campaign.open_searcher() as searcher:
                while self._campaign.take_turn():
                    question = self._chance.choice(self._questions)
                    question(searcher)
                    self.asked[question.__name__] += 1
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.error = error

    def _find(self, searcher: Searcher, query: str) -> list[dict[str, Any]]:
        columns = ("log_index", "url_path")
        request = SearchRequest(query=query, columns=columns, limit=ROWS_MAX)
        rows = _rows(searcher.find(searcher.plan(request, now_ns=NO_TIME)))
        indexes = [row["log_index"] for row in rows]
        assert indexes == sorted(set(indexes), reverse=True), query
        return rows

    def _ask_for_a_range(self, searcher: Searcher) -> None:
        size = searcher.pin().tree_size
        start = self._chance.randrange(size)
        end = min(start + self._chance.randrange(1, ROWS_MAX), size)
        rows = self._find(searcher, f"index:[{start} TO {end}}}")
        assert [row["log_index"] for row in rows] == list(range(end - 1, start - 1, -1))
        for row in self._chance.sample(rows, min(len(rows), 5)):
            if row["url_path"] is not None:
                self._known[row["log_index"]] = row["url_path"]

    def _ask_for_a_name(self, searcher: Searcher) -> None:
        """What was found once is found again, wherever merges have put it."""
        if self._known:
            index = self._chance.choice(list(self._known))
            rows = self._find(searcher, f'path:"{self._known[index]}"')
            assert [row["log_index"] for row in rows] == [index], self._known[index]

    def _ask_for_a_sender(self, searcher: Searcher) -> None:
        """The newest names of a sender count down without a hole."""
        sender = self._chance.randrange(SENDERS_COUNT)
        rows = self._find(searcher, f"path:{RECORD_NAME.decode()}{sender}/* received:>=1970-01-02")
        matches = [NAME.fullmatch(row["url_path"]) for row in rows]
        numbers = [int(match[2]) for match in matches if match is not None]
        assert len(numbers) == len(rows)
        assert numbers == list(range(numbers[0], numbers[0] - len(numbers), -1)) if rows else True

    def _ask_in_sql(self, searcher: Searcher) -> None:
        size = searcher.pin().tree_size
        answer = searcher.run_sql(
            "SELECT count(*) AS n, count(DISTINCT log_index) AS d, max(log_index) AS m FROM events",
            Period(),
        )
        ((found),) = _rows(answer.batches)
        assert found["n"] == found["d"] == found["m"] + 1 == answer.catalogue.tree_size >= size


class Listener(threading.Thread):
    """Follows the whole log from its first entry."""

    def __init__(self, campaign: Campaign) -> None:
        super().__init__(name="listener", daemon=True)
        self.error: BaseException | None = None
        self.seen_count = 0
        self._campaign = campaign

    def run(self) -> None:
        try:
            with self._campaign.open_searcher() as searcher:
                request = SearchRequest(columns=("log_index",))
                follower = Follower(searcher, request, from_size=0)
                while not self._campaign.stopping.wait(0.1):
                    for row in _rows(follower.read_new(now_ns=NO_TIME)):
                        assert row["log_index"] == self.seen_count
                        self.seen_count += 1
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            self.error = error


class Campaign:
    """A recorder under load, and those who search it."""

    def __init__(self, folder: Path, *, queries_count: int, seed: int) -> None:
        self.seed = seed
        self.stopping = threading.Event()
        self._left_count = queries_count
        self._lock = threading.Lock()
        self.up = UpProcess(folder)
        self.up.start()
        self.layout = Layout(self.up.data)
        self._verifier: VerifierKey = parse_vkey(self.up.ready["vkey"])

    def open_searcher(self) -> Searcher:
        """A searcher of the log."""
        origin = self.up.ready["origin"]
        limits = SearchLimits(threads_count=1)
        return Searcher(self.layout, self._verifier, origin=origin, limits=limits)

    def take_turn(self) -> bool:
        """Whether there is one more question to ask: until all are, and files were merged too."""
        with self._lock:
            self._left_count -= 1
            return self._left_count >= 0 or not self._merges_count()

    def run(self) -> str:
        """Ask all questions; returns what happened, in a line."""
        senders = [
            Sender(number, self.up.ready["grpc"], self.stopping) for number in range(SENDERS_COUNT)
        ]
        readers = [Reader(self, number) for number in range(READERS_COUNT)]
        listener = Listener(self)
        with ExitStack() as stack:
            stack.callback(self.up.close)
            stack.callback(self.stopping.set)
            for thread in (*senders, listener):
                thread.start()
            self._await_entries()
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
            with self.open_searcher() as searcher:
                size = searcher.pin().tree_size
            self.stopping.set()
            for thread in (*senders, listener):
                thread.join()
            assert self.up.stop() == 0
        errors = [*(reader.error for reader in readers), listener.error]
        for error in filter(None, errors):
            raise error
        asked = sum((reader.asked for reader in readers), Counter[str]())
        return (
            f"seed {self.seed}: asked {dict(asked)} while {size} entries were sealed; "
            f"{listener.seen_count} followed; {self._merges_count()} merges"
        )

    def _await_entries(self) -> None:
        with self.open_searcher() as searcher:
            while searcher.pin().tree_size < ENTRIES_MIN:
                assert not self.stopping.wait(0.05)

    def _merges_count(self) -> int:
        """Manifests that put a merged segment in place of others."""
        count = 0
        for number in manifest_numbers(self.layout):
            # Older ones go while they are counted.
            with suppress(FileNotFoundError):
                count += b"merge" in manifest_path(self.layout, number).read_bytes()
        return count


def _rows(batches: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any iterable of record batches
    read: list[pa.RecordBatch] = list(batches)
    return [row for batch in read for row in batch.to_pylist()]


def main() -> int:
    """Run the long form."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.readers", description=__doc__)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), queries_count=options.queries, seed=options.seed)
        sys.stdout.write(campaign.run() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
