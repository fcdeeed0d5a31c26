"""A seeded mutator of JSON that knows its structure: keys, values, depth, and what is no JSON."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.campaigns.byte_mutator import ByteMutator

if TYPE_CHECKING:
    import random  # noqa: TID251 - the caller's, seeded
    from collections.abc import Callable, Sequence

_NUMBERS: Final = (
    *("0", "-0", "1", "-1", "7", "1e0", "1.0", "1.5", "1e3", "1E+2", "-1e-3", "1e400", "1e999999"),
    *("2147483647", "2147483648", "-2147483649", "4294967296", "9007199254740993"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *(
        "18446744073709551615",
        "18446744073709551616",
        "1152921504606846977",
        "9" * 400,
        "9" * 5_000,
    ),
    *("01", "+1", ".5", "1.", "1e", "0x10", "1_0", "NaN", "Infinity", "-Infinity", "--1"),
)
_TEXTS: Final = (
    *('""', '"a"', '"7"', '"-1"', '"1.5"', '"1e3"', '"0x1"', '"1_0"', '" 1"', '"01"', '"\u0667"'),
    *('"18446744073709551616"', '"NaN"', '"-Infinity"', '"' + "9" * 500 + '"', '"true"'),
    *('"0A"', '"0a0"', '"4bf92f3577b34da6a3ce929d0e0e4736"', '"00f067aa0ba902b7"', '"zz"'),
    *('"AA=="', '"AA"', '"A"', '"-_-_"', '"+/+/"', '"AA==AA=="', '"AB=="', '"AA==\\n"'),
    *(
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\x"',
        '"\\u12"',
        '"\x01"',
    ),
    *('"\ud800"', '"\u00e9\u4e2d"', '"\ufeff"', '"\\\\"', '"\\""', '"]}"', '"a', 'a"', "'a'"),
    *('"' + "a" * 4_000 + '"', '"' + "\U0001f600" * 300 + '"'),
)
_OTHERS: Final = (
    *("null", "true", "false", "{}", "[]", "[null]", "[{}]", '{"a":1,"a":2}', '{"a":null}'),
    *("", "nul", "//", "/**/0", "[1,]", '{"a":1,}', "{a:1}", "[", "]", "}", '{"a"}', ",", ":"),
    *("\ufeff", "\0", "\u00a0"),
)
_DEPTHS: Final = (1, 2, 3, 30, 90, 98, 99, 100, 101, 102, 150, 1_100, 5_000)
_GAPS: Final = ("", "", "", " ", "\n\t")


@dataclass(slots=True)
class _Object:
    """An object: keys and values as they are written, keys in quotes."""

    members: list[tuple[str, _Node]]


_Node: TypeAlias = "str | list[_Node] | _Object"
"""A string is what is written, whatever it is."""


class JsonMutator(ByteMutator):
    """Bends JSON texts.

    Args:
        seeds: valid ones to start from.
        rng: the only source of chance.
        tokens: more values, as they are written.
    """

    def __init__(
        self, seeds: Sequence[bytes], rng: random.Random, *, tokens: Sequence[str] = ()
    ) -> None:
        self._tokens: tuple[str, ...] = (*_NUMBERS, *_TEXTS, *_OTHERS, *tokens, *tokens, *tokens)
        self._valid_tokens = tuple(token for token in self._tokens if _is_json(token))
        super().__init__(seeds, rng, pieces=[_encode(token) for token in self._tokens])
        self._trees = [_read(json.loads(seed, object_pairs_hook=_Pairs)) for seed in seeds]
        keys = {key for tree in self._trees for key in _keys_in(tree)}
        self._keys = (*sorted(keys), '""', '"a"', '"\\u0061"', '"\ud800"', "a", "1", "null")
        self._steps: tuple[Callable[[list[Any]], None], ...] = (
            *(self._change_value,) * 4,
            *(self._rename_key, self._repeat, self._drop, self._splice, self._shuffle, self._nest),
        )

    def mutate(self) -> bytes:
        """A text that was bent once or a few times."""
        rng = self._rng
        if rng.random() < 0.2:
            return self.bend(self.valid())
        tree = _copy(rng.choice(self._trees))
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            found = _containers(tree)
            if found:
                rng.choice(self._steps)(rng.choice(found))
            else:
                tree = self._value()
        data = _encode(_write(tree, rng.choice(_GAPS)))
        return data if rng.random() < 0.9 else self.bend(data)

    def _value(self) -> str:
        rng = self._rng
        if rng.random() < 0.05:
            depth = rng.choice(_DEPTHS)
            before, after = rng.choice((("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")))
            ends = rng.choice((depth, depth, depth, depth - 1, depth + 1))
            core: str = rng.choice(("", "1", "null"))
            return before * depth + core + after * ends
        return rng.choice(self._valid_tokens if rng.random() < 0.8 else self._tokens)

    def _change_value(self, parts: list[Any]) -> None:
        if parts:
            at = self._rng.randrange(len(parts))
            parts[at] = _with_value(parts[at], self._value())

    def _rename_key(self, parts: list[Any]) -> None:
        places = [at for at, part in enumerate(parts) if isinstance(part, tuple)]
        if not places:
            return
        at = self._rng.choice(places)
        key, value = parts[at]
        renamed = self._rng.choice(
            (
                self._rng.choice(self._keys),
                re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", key),
                key[:1] + f"\\u{ord(key[1]):04x}" + key[2:] if len(key) > 2 else key,
            )
        )
        parts[at] = (renamed, value)

    def _repeat(self, parts: list[Any]) -> None:
        if parts:
            rng = self._rng
            twin = rng.choice(parts)
            for _ in range(rng.choice((1, 1, 1, 2, 20))):
                again = _with_value(twin, self._value()) if rng.random() < 0.3 else _copied(twin)
                parts.insert(rng.randint(0, len(parts)), again)

    def _drop(self, parts: list[Any]) -> None:
        if parts:
            del parts[self._rng.randrange(len(parts))]

    def _splice(self, parts: list[Any]) -> None:
        """A part of another text, where parts of that kind stand."""
        rng = self._rng
        found = _containers(rng.choice(self._trees))
        donor = rng.choice(found) if found and parts else []
        if donor and isinstance(donor[0], tuple) == isinstance(parts[0], tuple):
            parts.insert(rng.randint(0, len(parts)), _copied(rng.choice(donor)))

    def _shuffle(self, parts: list[Any]) -> None:
        self._rng.shuffle(parts)

    def _nest(self, parts: list[Any]) -> None:
        """A value becomes that of a list or of an object."""
        if parts:
            at = self._rng.randrange(len(parts))
            part = parts[at]
            value = part[1] if isinstance(part, tuple) else part
            key = self._rng.choice(self._keys)
            outer: _Node = [value] if self._rng.random() < 0.5 else _Object([(key, value)])
            parts[at] = _with_value(part, outer)


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, as the parser gives them."""


def _read(value: Any) -> _Node:  # noqa: ANN401 - any JSON value
    if isinstance(value, _Pairs):
        return _Object([(json.dumps(key, ensure_ascii=False), _read(one)) for key, one in value])
    if isinstance(value, list):
        return [_read(one) for one in value]
    return json.dumps(value, ensure_ascii=False)


def _is_json(token: str) -> bool:
    try:
        json.loads(token, parse_int=str)
    except ValueError:
        return False
    return True


def _write(node: _Node, gap: str) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return "[" + gap + f"{gap},{gap}".join(_write(part, gap) for part in node) + gap + "]"
    members = (f"{key}{gap}:{gap}{_write(value, gap)}" for key, value in node.members)
    return "{" + gap + f"{gap},{gap}".join(members) + gap + "}"


def _encode(text: str) -> bytes:
    """As UTF-8, and where that cannot be, as what is none."""
    return text.encode(errors="surrogatepass")


def _copy(node: _Node) -> _Node:
    if isinstance(node, list):
        return [_copy(part) for part in node]
    if isinstance(node, _Object):
        return _Object([(key, _copy(value)) for key, value in node.members])
    return node


def _copied(part: Any) -> Any:  # noqa: ANN401 - a member or a value
    return (part[0], _copy(part[1])) if isinstance(part, tuple) else _copy(part)


def _with_value(part: Any, value: _Node) -> Any:  # noqa: ANN401 - as above
    return (part[0], value) if isinstance(part, tuple) else value


def _containers(node: _Node) -> list[list[Any]]:
    """The members of every object and the elements of every list."""
    if isinstance(node, str):
        return []
    parts: list[Any] = node.members if isinstance(node, _Object) else node
    found = [parts]
    for part in parts:
        found += _containers(part[1] if isinstance(part, tuple) else part)
    return found


def _keys_in(node: _Node) -> list[str]:
    return [part[0] for parts in _containers(node) for part in parts if isinstance(part, tuple)]
