"""Lines of Linkerd's proxy: both mappers agree on any, and bytes of any kind become a row."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.lines.linkerd_lines import ACCESS, POLICY
from meshtrail.sources.lines.linkerd_values import MESSAGES
from tests.als_records import derive_both, entry
from tests.mesh_lines import (
    established,
    linkerd_access,
    linkerd_apache,
    linkerd_policy,
    linkerd_policy_json,
)

_WORDS = st.sampled_from(
    [
        *("", "-", "10.0.0.5:40001", "[::1]:80", "10.0.0.5", "fd00::7", "7", "-1", "200", "٣"),
        *("a.b.serviceaccount.identity.linkerd.cluster.local", "spiffe://td/ns/a/sa/b", "x.y"),
        *("http://a/b?c", "/x", "*", "a:443", "http://a", "HTTP/1.1", "HTTP/2.0", "a b", '"'),
        *("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32, "00F067AA0BA902B7", "Root=1-5759e988"),
        *("3b827cf3-0783-459b-9a73-25381ac6f687", "None(NoClientHello)", established("a.b")),
        *("99999999999999999999", "9999999999", "?q", "x://y/z", "://", "GET"),
    ]
)
_VALUES = _WORDS | st.text(max_size=8) | st.integers(-1, 2**70)
_CLIENTS = _WORDS.filter(lambda word: word and " " not in word)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Any line of the proxy."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        line = linkerd_access(**draw(st.dictionaries(st.sampled_from(ACCESS), _VALUES)))
    elif kind == 1:
        client, uri = draw(_CLIENTS), draw(_WORDS)
        line = linkerd_apache(client=client, uri=uri, status=draw(_WORDS))
    elif kind == 2:
        message = draw(st.sampled_from(MESSAGES))
        tls = draw(_WORDS | st.just(established("web.shop.serviceaccount.identity.l.td")))
        line = linkerd_policy(message, tls=tls, client=draw(_WORDS))
    elif kind == 3:
        message = draw(st.sampled_from([*MESSAGES, "x"]))
        line = linkerd_policy_json(
            message, **draw(st.dictionaries(st.sampled_from(POLICY), _VALUES))
        )
    else:
        members = draw(
            st.dictionaries(st.sampled_from(["level", "target", "fields", *ACCESS]), _VALUES)
        )
        line = json.dumps(members).encode()
    line = draw(st.sampled_from([b"", b"2026-11-21T01:31:24.5Z stderr F "])) + line
    if draw(st.integers(0, 3)):
        return line
    place = draw(st.integers(0, len(line)))
    scar = draw(st.binary(max_size=3) | st.sampled_from([b'"', b" ", b"\\", b"{", b"=", b": "]))
    return line[:place] + scar + line[place + draw(st.integers(0, 2)) :]


@given(st.lists(lines() | st.binary(max_size=40), max_size=6))
@settings(max_examples=120, deadline=None)
def test_both_mappers_agree_on_any_line(records: list[bytes]) -> None:
    for row in derive_both(*(entry(record, PayloadFormat.LINKERD) for record in records)):
        if row["kind"] == "undecoded":
            assert row["decode_error"]
            assert row["time"] is row["src_namespace"] is row["decision"] is None
