"""A seeded mutator of protobuf messages that knows their structure.

Half of its work is done on the tree of fields, so that the result is mostly well-formed and
strange; the other half on the bytes, so that it is mostly not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tests.campaigns.byte_mutator import ByteMutator
from tests.campaigns.wire import (
    END_GROUP,
    FIXED32,
    FIXED64,
    LENGTH,
    RAW,
    START_GROUP,
    VARINT,
    Field,
    decode_fields,
    encode_fields,
    encode_varint,
    list_messages,
)

if TYPE_CHECKING:
    import random  # noqa: TID251 - the caller's, seeded
    from collections.abc import Callable, Sequence

    from google.protobuf.descriptor import Descriptor

LARGE_BYTES: Final = 1 << 20
_NUMBERS: Final = (
    *(0, 1, 2, 4, 127, 128, 200, 443, 999_999_999, 1_000_000_000, 65_535, 65_536),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64 - 2**31, 2**64 - 1000),
    *(9_223_372_035, 9_223_372_036, 9_223_372_037, 2**64 - 9_223_372_035, 2**64 - 9_223_372_036),
    *(253_402_300_799, 2**64 - 62_135_596_800, 315_576_000_000, 2**64 - 315_576_000_000),
)
_UUID: Final = b"3b827cf3-0783-459b-9a73-25381ac6f687"
_TRACE: Final = b"4bf92f3577b34da6a3ce929d0e0e4736"
_SPAN: Final = b"00f067aa0ba902b7"
_TEXTS: Final = (
    *(
        b"",
        b"\0",
        b"a\0b",
        b" ",
        b"?",
        b"/a?",
        b"/a?b?c",
        b"/shop.Cart/Add",
        b"/" + "\u00e9\u4e2d".encode(),
    ),
    *(b"allowed", b"denied", b"none", b"Denied", b"inbound|80||", b"outbound|80||x", b"inbound"),
    *(b"content-type", b"grpc-status", b"traceparent", b"b3", b"x-b3-traceid", b"x-b3-spanid"),
    *(
        b"application/grpc",
        b"application/grpc+proto",
        b"7",
        b"0",
        b"999",
        b"1000",
        b"-1",
        "\u0667".encode(),
    ),
    *(b"00-" + _TRACE + b"-" + _SPAN + b"-01", b"ff-" + _TRACE + b"-" + _SPAN + b"-01"),
    *(
        _TRACE,
        _SPAN,
        _TRACE.upper(),
        _TRACE + b"-" + _SPAN,
        _SPAN + b"-" + _SPAN + b"-1",
        b"0" * 32,
    ),
    *(
        _TRACE + b"-" + _SPAN + "\u00e9".encode(),
        b"\xe2\x84\xaa" + b"a" * 31,
        b"0" * 16,
        _SPAN + b"-" + b"0" * 16,
    ),
    *(_UUID, _UUID.upper(), b"{" + _UUID[1:-1] + b"}", _UUID + b"0", "\u00e9".encode() * 18),
    *(
        b"spiffe://cluster.local/ns/shop/sa/payments",
        b"spiffe://a/b",
        b"spiffe://a/../b",
        b"http://x",
    ),
    *(b"spiffe://" + b"a" * 3000 + b"/b", b"spiffe://a/ns/b/sa/c/d", b"spiffe://a/ns//sa/c"),
    *(b"rbac_access_denied_matched_policy[none]", b"rbac_access_denied_matched_policy[a\nb]"),
    *(
        b"rbac_access_denied",
        b"ext_authz_denied",
        b"ext_authz_error",
        b"jwt_authn_access_denied{x}",
    ),
    *(b"ns[a]-policy[b]-rule[1]", b"ns[a]-policy[b]-rule[1]\n", b"ns[]-policy[]-rule[]"),
    *(b"envoy.filters.http.rbac", b"envoy.filters.network.rbac", b"enforced_engine_result"),
    *(b"x_shadow_engine_result", b"shadow_engine_result", b"shadow_effective_policy_id"),
    *(b"enforced_effective_policy_id", "\U0001f600".encode() * 5, b"\xef\xbb\xbfbom", b"a" * 4000),
)
_BAD_TEXTS: Final = (
    *(
        b"\xff",
        b"a\xfe",
        b"\x80",
        b"\xc0\x80",
        b"\xc3",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
    ),
    *(
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\xe0\x80\xaf",
        b"\xf0\x9f\x98",
    ),
)
_DEPTHS: Final = (1, 2, 3, 10, 63, 64, 98, 99, 100, 101, 102, 150, 400, 1_500)


class Mutator(ByteMutator):
    """Bends messages of one type.

    Args:
        descriptor: the type, for the structure.
        seeds: valid messages to start from.
        rng: the only source of chance.
        large_share: how many texts become a MiB long.
        texts: more texts to put in.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        seeds: Sequence[bytes],
        rng: random.Random,
        *,
        large_share: float = 0.0001,
        texts: Sequence[bytes] = (),
    ) -> None:
        super().__init__(seeds, rng)
        self._large_share = large_share
        self._texts = (*_TEXTS, *texts)
        self._trees = [decode_fields(seed, descriptor) for seed in seeds]
        self._tree_steps: tuple[Callable[[list[Field]], None], ...] = (
            *(self._change_text, self._change_number) * 3,
            *(self._repeat_field, self._drop_field, self._splice_field, self._shuffle_fields),
            *(self._swap_wire_type, self._add_unknown, self._add_group, self._add_raw),
        )

    def mutate(self) -> bytes:
        """A message that was bent once or a few times."""
        rng = self._rng
        if rng.random() < 0.01:
            return rng.randbytes(rng.choice((0, 1, 2, 8, 64, 600)))
        if rng.random() < 0.6:
            tree = [field.copy() for field in rng.choice(self._trees)]
            if rng.random() < 0.1:
                # Two messages one behind the other are one: maps get equal keys, the rest merges.
                tree += [field.copy() for field in rng.choice(self._trees)]
            for _ in range(rng.choice((1, 1, 2, 3, 8))):
                rng.choice(self._tree_steps)(rng.choice(list_messages(tree)))
            data = encode_fields(tree)
            if rng.random() < 0.8:
                return data
        else:
            data = rng.choice(self._seeds)
        return self.bend(data)

    # ── on the tree ──

    def _change_text(self, fields: list[Field]) -> None:
        texts = [field for field in fields if isinstance(field.value, bytes)]
        if not texts:
            return
        rng = self._rng
        field = rng.choice(texts)
        if rng.random() < self._large_share:
            field.value = b"/" + b"a" * LARGE_BYTES
        elif rng.random() < 0.15:
            field.value = (
                rng.choice(self._texts)[:8] + rng.choice(_BAD_TEXTS) + rng.choice((b"", b"z"))
            )
        else:
            field.value = rng.choice(self._texts)

    def _change_number(self, fields: list[Field]) -> None:
        numbers = [field for field in fields if isinstance(field.value, int)]
        if numbers:
            rng = self._rng
            value = rng.choice(_NUMBERS) if rng.random() < 0.8 else rng.getrandbits(64)
            rng.choice(numbers).value = value

    def _repeat_field(self, fields: list[Field]) -> None:
        if fields:
            rng = self._rng
            twin = rng.choice(fields).copy()
            if isinstance(twin.value, list):
                inner = rng.choice(list_messages(twin.value))
                self._change_text(inner)
                self._change_number(inner)
            for _ in range(rng.choice((1, 1, 1, 2, 20))):
                fields.insert(rng.randint(0, len(fields)), twin.copy())

    def _drop_field(self, fields: list[Field]) -> None:
        if fields:
            del fields[self._rng.randrange(len(fields))]

    def _splice_field(self, fields: list[Field]) -> None:
        rng = self._rng
        donor = rng.choice(list_messages(rng.choice(self._trees)))
        if donor:
            fields.insert(rng.randint(0, len(fields)), rng.choice(donor).copy())

    def _shuffle_fields(self, fields: list[Field]) -> None:
        self._rng.shuffle(fields)

    def _swap_wire_type(self, fields: list[Field]) -> None:
        if fields:
            types = (VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32, 6, 7)
            self._rng.choice(fields).wire_type = self._rng.choice(types)

    def _add_unknown(self, fields: list[Field]) -> None:
        rng = self._rng
        number = rng.choice((1, 2, 15, 16, 99, 18_999, 19_000, 536_870_911, rng.randint(1, 60)))
        wire_type = rng.choice((VARINT, FIXED64, LENGTH, FIXED32))
        value = rng.choice(_NUMBERS) if wire_type == VARINT else rng.choice(self._texts)
        fields.insert(rng.randint(0, len(fields)), Field(number, wire_type, value))

    def _add_group(self, fields: list[Field]) -> None:
        """Unknown groups inside each other, at times with fields between, at times broken."""
        rng = self._rng
        number = rng.choice((1, 2, 7, 15, 16, 1_000, rng.randint(1, 60)))
        depth = rng.choice(_DEPTHS)
        between = Field(rng.randint(1, 60), rng.choice((VARINT, FIXED64, LENGTH, FIXED32)), b"123")
        filling = rng.choice((b"", encode_fields([between]), b"\x08" + b"\x80" * 9 + b"\x01"))
        begin, end = (encode_varint(number << 3 | kind) for kind in (START_GROUP, END_GROUP))
        ends = rng.choice((depth, depth, depth, depth, depth, depth - 1, depth + 1))
        core = rng.choice(
            (b"", b"", b"", b"\x00\x00", b"\x0e\x00", b"\x0c", b"\x0a\x7f", b"\x12\x02\xff\xff")
        )
        data = (begin + filling) * depth + core + (end + rng.choice((b"", filling))) * ends
        fields.insert(rng.randint(0, len(fields)), Field(0, RAW, data))

    def _add_raw(self, fields: list[Field]) -> None:
        """Tags, lengths and numbers in forms that no serialiser writes."""
        rng = self._rng
        number = rng.choice((1, 2, 3, 4, 5, 8, 15, 16, 25, 60, 0, 536_870_911, 536_870_912, 2**32))
        length_min = rng.choice((1, 2, 5, 6, 9, 10, 11))
        text = rng.choice(self._texts)
        tag = encode_varint(number << 3 | LENGTH)
        long_tag = encode_varint(number << 3 | LENGTH, length_min=length_min)
        huge = rng.choice(
            (len(text) + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1)
        )
        number_tag = encode_varint(number << 3 | VARINT)
        forms = (
            tag + encode_varint(len(text), length_min=length_min) + text,
            long_tag + encode_varint(len(text)) + text,
            tag + encode_varint(huge, length_min=length_min) + text,
            number_tag + encode_varint(rng.choice(_NUMBERS), length_min=length_min),
            number_tag + encode_varint(rng.getrandbits(70)),
            number_tag + b"\xff" * rng.randint(1, 12),
            number_tag + b"\x80" * 9 + bytes([rng.choice((0, 1, 2, 0x7E, 0x7F, 0x80))]),
        )
        at = rng.choice((0, len(fields), rng.randint(0, len(fields))))
        fields.insert(at, Field(0, RAW, rng.choice(forms)))
