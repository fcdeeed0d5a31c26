"""Addresses that are told as networks, and the smallest one that an address lies in."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Networks:
    """The networks among some addresses; what is neither is left out."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts: dict[tuple[int, int, int], str] = {}
        for text in texts:
            if "/" in text:
                try:
                    network = ipaddress.ip_network(text)
                except ValueError:
                    continue
                first = int(network.network_address)
                self._texts[network.version, network.prefixlen, first] = text
        self._lengths = {
            version: sorted(
                {length for of, length, _ in self._texts if of == version}, reverse=True
            )
            for version in (4, 6)
        }

    def __bool__(self) -> bool:
        return bool(self._texts)

    def find(self, text: str) -> str | None:
        """The smallest network that an address lies in, as it was written; None without one."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        bits = int(address)
        for length in self._lengths[address.version]:
            rest = address.max_prefixlen - length
            found = self._texts.get((address.version, length, bits >> rest << rest))
            if found is not None:
                return found
        return None
