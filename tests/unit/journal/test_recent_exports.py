from __future__ import annotations

from meshtrail.journal import RecentExports
from meshtrail.journal.recent_exports import EXPORT_DIGEST_BYTES, RECENT_EXPORTS_MAX


def digest(number: int) -> bytes:
    return number.to_bytes(EXPORT_DIGEST_BYTES, "big")


def test_exports_that_were_added_are_known_also_from_what_was_joined() -> None:
    exports = RecentExports()
    for number in (3, 1, 2):
        exports.add(digest(number))
    assert exports.join() == digest(3) + digest(1) + digest(2)
    again = RecentExports(exports.join())
    assert [digest(number) in again for number in range(5)] == [False, True, True, True, False]
    assert len(again) == 3


def test_an_export_that_is_known_keeps_its_place() -> None:
    exports = RecentExports(digest(1) + digest(2))
    exports.add(digest(1))
    assert exports.join() == digest(1) + digest(2)


def test_the_oldest_exports_are_forgotten_beyond_the_bound() -> None:
    exports = RecentExports(b"".join(map(digest, range(RECENT_EXPORTS_MAX))))
    exports.add(digest(RECENT_EXPORTS_MAX))
    assert digest(0) not in exports
    assert digest(1) in exports
    assert digest(RECENT_EXPORTS_MAX) in exports
    assert len(exports) == RECENT_EXPORTS_MAX
    assert len(exports.join()) == 1 << 20


def test_of_more_exports_than_may_be_kept_the_last_are() -> None:
    assert RecentExports(digest(1) + digest(2), count_max=1).join() == digest(2)
