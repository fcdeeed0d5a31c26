"""Tells of senders whose claims contradict what they were authenticated as, once for each stream.

They are recorded all the same: what they claim stands beside who they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.model.entry import EntryType
from meshtrail.sources.streams import parse_stream_opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.collect.diag import Diag
    from meshtrail.journal import Frame


def tell_conflicts(frames: Iterable[Frame], diag: Diag) -> None:
    """Tell of each stream that these frames open with a conflict."""
    for frame in frames:
        if frame.entry_type is not EntryType.STREAM_OPENED:
            continue
        facts = parse_stream_opened(bytes(frame.data))
        if facts.conflict is not None:
            diag.warning(
                "sender_conflict",
                stream=frame.stream,
                conflict=facts.conflict,
                auth=facts.auth,
                spiffe_id=facts.spiffe_id,
                token=facts.token,
            )
