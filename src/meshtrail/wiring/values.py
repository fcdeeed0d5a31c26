"""Values that people give for a proxy's configuration: each is checked before it stands in YAML.

What is let through needs no quoting that a YAML reader could get wrong, and is quoted all the same.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import Final

from meshtrail.errors import ConfigError

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_DNS_NAME_CHARS_MAX: Final = 253
_ADDRESS: Final = re.compile(r"(?:\[([0-9a-f:]+)\]|([0-9a-z.-]+)):([1-9][0-9]{0,4})", re.ASCII)
_PORT_MAX: Final = 65_535
_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._@%+=,:~-]+)+", re.ASCII)
_PATH_CHARS_MAX: Final = 1_024
_LOG_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}", re.ASCII)
_NAMESPACE: Final = re.compile(_LABEL, re.ASCII)
_CLUSTER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.|:-]{0,127}", re.ASCII)
_SECRET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,2047}", re.ASCII)
_SPIFFE_ID: Final = re.compile(r"spiffe://([a-z0-9._-]{1,255})((?:/[A-Za-z0-9._-]+)+)", re.ASCII)
_SPIFFE_ID_CHARS_MAX: Final = 2_048


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the collector listens, as a proxy is to reach it.

    Attributes:
        host: an IP address, or a DNS name in lower case.
        port: 1 to 65535.
    """

    host: str
    port: int

    @property
    def is_ip(self) -> bool:
        """Whether the host is an address rather than a name."""
        return _ip(self.host) is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only the proxy's own machine can be meant."""
        address = _ip(self.host)
        return address.is_loopback if address is not None else self.host == "localhost"

    def format(self) -> str:
        """As people write it; an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read ``HOST:PORT`` or ``[IPV6]:PORT``.

    Raises:
        ConfigError: it is neither, or not in its usual spelling.
    """
    match = _ADDRESS.fullmatch(text)
    if match and int(match[3]) <= _PORT_MAX:
        endpoint = Endpoint(match[1] or match[2], int(match[3]))
        # In its usual spelling: 127.1 and 0x7f000001 mean different things to different resolvers.
        if endpoint.format() == text and (endpoint.is_ip or (match[2] and is_dns_name(match[2]))):
            return endpoint
    raise ConfigError(
        f"address {text!r}: want HOST:PORT with a DNS name in lower case or an IP address, such as "
        "meshtrail.example.com:4317, 10.0.0.7:4317 or [fd00::7]:4317",
        value=text,
    )


def is_dns_name(text: str) -> bool:
    """Whether the text is a DNS name in lower case, and could not be taken for an address."""
    last = text.rpartition(".")[2]
    return (
        _DNS_NAME.fullmatch(text) is not None
        and len(text) <= _DNS_NAME_CHARS_MAX
        and not last[0].isdigit()
    )


def check_path(text: str, *, option: str) -> None:
    """Raise ConfigError unless the text is an absolute path of plain characters."""
    plain = _PATH.fullmatch(text) is not None and len(text) <= _PATH_CHARS_MAX
    if not plain or {".", ".."} & set(text.split("/")):
        raise ConfigError(
            f"{option} {text!r}: want an absolute path, as the proxy sees it, of letters, digits "
            "and . _ @ % + = , : ~ - such as /etc/envoy/tls/tls.crt",
            value=text,
        )


def check_spiffe_id(text: str, *, option: str) -> None:
    """Raise ConfigError unless the text is the SPIFFE ID of a workload.

    Source: SPIFFE-ID section 2.
    """
    match = _SPIFFE_ID.fullmatch(text)
    if match is None or len(text) > _SPIFFE_ID_CHARS_MAX or {".", ".."} & set(match[2].split("/")):
        raise ConfigError(
            f"{option} {text!r}: want a SPIFFE ID such as spiffe://cluster.local/ns/meshtrail/sa/"
            "meshtrail, its trust domain in lower case",
            value=text,
        )


def check_log_name(text: str, *, option: str) -> None:
    """Raise ConfigError unless the text can begin the name of an access log."""
    if not _LOG_NAME.fullmatch(text):
        raise ConfigError(
            f"{option} {text!r}: want 1 to 63 lower-case letters, digits and _ . - such as shop",
            value=text,
        )


def check_namespace(text: str, *, option: str) -> None:
    """Raise ConfigError unless the text is a Kubernetes namespace."""
    if not _NAMESPACE.fullmatch(text):
        raise ConfigError(
            f"{option} {text!r}: want a Kubernetes namespace such as istio-system", value=text
        )


def check_cluster_name(text: str, *, option: str) -> None:
    """Raise ConfigError unless the text can name an Envoy cluster."""
    if not _CLUSTER.fullmatch(text):
        raise ConfigError(
            f"{option} {text!r}: want the name of an Envoy cluster such as spire_agent", value=text
        )


def check_secret_name(text: str, *, option: str) -> None:
    """Raise ConfigError unless the text can name a secret of the secret discovery service."""
    if not _SECRET.fullmatch(text):
        raise ConfigError(
            f"{option} {text!r}: want the name of an SDS secret such as default, ROOTCA or "
            "spiffe://cluster.local",
            value=text,
        )


def quote(text: str) -> str:
    """The text as a YAML scalar that is always a string, whatever it looks like."""
    return json.dumps(text, ensure_ascii=False)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    is_somebody = not (address.is_unspecified or address.is_multicast)
    return address if is_somebody and str(address) == text else None
