from __future__ import annotations

from meshtrail.collect.file_streams import FileClaims, FileStream
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.record_cut import cut_records
from meshtrail.model.entry import EntryFlags, EntryType
from meshtrail.sources.streams import parse_stream_opened
from meshtrail.units import UnixNanos

NOW = UnixNanos(5)
FACTS = CollectorFacts(version="1", started_ns=NOW, config_sha256=bytes(32))


def test_a_stream_says_whose_its_file_is_and_numbers_its_records() -> None:
    claims = FileClaims(reporter="node-1", cluster="east")
    stream = FileStream("/var/log/z.log", service="ztunnel", claims=claims)
    frames = [
        stream.opened(FACTS, received_ns=NOW),
        *stream.records(
            cut_records("ztunnel", b"a\nb\n"), received_ns=NOW, flags=EntryFlags.DUPLICATE
        ),
        stream.closed(received_ns=NOW),
    ]
    opened = parse_stream_opened(frames[0].data)
    assert (opened.node_id, opened.node_cluster) == ("node-1", "east")
    assert (opened.log_name, opened.auth, opened.ip) == ("/var/log/z.log", "none", None)
    assert [frame.first_seq for frame in frames] == [0, 1, 3]
    assert [frame.stream for frame in frames] == [stream.id] * 3
    assert frames[1].flags == EntryFlags.DUPLICATE
    assert frames[2].entry_type == EntryType.STREAM_CLOSED
    assert b'"reason":"ended","records":2' in frames[2].data
