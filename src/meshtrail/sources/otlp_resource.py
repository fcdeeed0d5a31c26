"""What a sender of OTLP says of itself in its resource: a claim."""

from __future__ import annotations

import json
from typing import Any

from google.protobuf.message import DecodeError

from meshtrail.errors import InputError


def decode_resource(resource: bytes) -> dict[str, Any]:
    """The claims in a resource, as plain JSON values.

    Raises:
        InputError: it is no resource.
    """
    from opentelemetry.proto.resource.v1 import resource_pb2  # noqa: PLC0415 - slow to import

    try:
        message = resource_pb2.Resource.FromString(resource)
    except DecodeError as error:
        raise InputError(f"resource of {len(resource)} bytes: {error}") from error
    return _claims({item.key: item.value.string_value for item in message.attributes})


def decode_json_resource(resource: bytes) -> dict[str, Any]:
    """The claims in a resource in JSON.

    Raises:
        InputError: it is no resource.
    """
    try:
        attributes = json.loads(resource).get("attributes", [])
        return _claims({item["key"]: item["value"].get("stringValue") for item in attributes})
    except (ValueError, AttributeError, LookupError, TypeError, RecursionError) as error:
        raise InputError(f"resource of {len(resource)} bytes: {error}") from error


def _claims(attributes: dict[str, str]) -> dict[str, Any]:
    return {
        "node_id": attributes.get("service.instance.id"),
        "node_cluster": attributes.get("service.name"),
        "log_name": attributes.get("log_name"),
        "user_agent": attributes.get("telemetry.sdk.name"),
        "metadata": None,
    }
