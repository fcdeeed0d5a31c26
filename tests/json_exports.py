"""OTLP exports in JSON, cut a second way: by the standard library's parser, value by value."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.sources.otlp_frame import Signal

_DECODER = json.JSONDecoder(parse_int=str)
"""Numbers of any length."""
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class JsonGroup:
    """An object of the upper three levels: its members as they stand, the last of equal ones."""

    members: dict[str, str]
    is_single: bool
    """Whether no key stands twice, none is escaped, and none is unknown."""

    def get(self, *names: str) -> str | None:
        return next((self.members[name] for name in names if name in self.members), None)


def snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name)


def payloads_by_reading(body: bytes, signal: Signal) -> list[tuple[str | None, list[bytes], bool]]:
    """The parts of an export: resource, payloads, and whether that is all."""
    request = read_group(body.decode(), [signal.resources_name])
    read = [
        (
            resource := read_group(element, ["resource", "schemaUrl", signal.scopes_name]),
            [
                read_group(part, ["scope", "schemaUrl", signal.records_name])
                for part in elements(resource, signal.scopes_name)
            ],
        )
        for element in elements(request, signal.resources_name)
    ]
    is_all = request.is_single and all(
        resource.is_single and all(scope.is_single for scope in scopes) for resource, scopes in read
    )
    parts = []
    for resource, scopes in read:
        payloads = [
            payload_of(resource, scope, record, signal)
            for scope in scopes
            for record in elements(scope, signal.records_name)
        ]
        is_plain = is_all and all(
            elements(scope, signal.records_name) or says_nothing(scope, "scope", "schemaUrl")
            for scope in scopes
        )
        is_plain &= bool(payloads) or says_nothing(resource, "schemaUrl")
        stated = resource.get("resource")
        parts.append((None if stated == "null" else stated, payloads, is_plain))
    return parts


def says_nothing(group: JsonGroup, *names: str) -> bool:
    return all(group.get(name, snake_case(name)) in {None, "null"} for name in names)


def payload_of(resource: JsonGroup, scope: JsonGroup, record: str, signal: Signal) -> bytes:
    inner = [*stated(scope, "scope"), f'"{signal.records_name}":[{record}]']
    outer = [*stated(resource, "resource"), f'"{signal.scopes_name}":[{{{",".join(inner)}}}]']
    return f'{{"{signal.resources_name}":[{{{",".join(outer)}}}]}}'.encode()


def stated(group: JsonGroup, name: str) -> list[str]:
    found = [(name, group.get(name)), ("schemaUrl", group.get("schemaUrl", "schema_url"))]
    return [f'"{key}":{value}' for key, value in found if value is not None]


def elements(group: JsonGroup, name: str) -> list[str]:
    """The elements of a list, as they stand."""
    text = group.get(name, snake_case(name))
    if text is None or text == "null":
        return []
    found = []
    at = skip_space(text, 1)
    while text[at] != "]":
        at = skip_space(text, at + (text[at] == ","))
        _, end = _DECODER.raw_decode(text, at)
        found.append(text[at:end])
        at = skip_space(text, end)
    return found


def read_group(text: str, known: Sequence[str]) -> JsonGroup:
    """The members of an object, as they stand."""
    spellings = {spelling: name for name in known for spelling in (name, snake_case(name))}
    members: dict[str, str] = {}
    seen: set[str] = set()
    is_single = True
    at = skip_space(text, 1 + skip_space(text, 0))
    while text[at] != "}":
        start = skip_space(text, at + (text[at] == ","))
        key, at = _DECODER.raw_decode(text, start)
        is_single &= text[start:at] == f'"{key}"' and spellings.get(key, key) not in seen
        is_single &= key in spellings
        at = skip_space(text, skip_space(text, at) + 1)
        _, end = _DECODER.raw_decode(text, at)
        seen.add(spellings.get(key, key))
        members[key] = text[at:end]
        at = skip_space(text, end)
    return JsonGroup(members, is_single)


def skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match
    return match.end()
