"""The inventory file, read again when it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from meshtrail.correlate.inventory import Inventory, parse_inventory
from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class Diag(Protocol):
    """Where diagnostics go."""

    def info(self, event: str, **facts: object) -> object:
        """Note something that happened."""
        ...

    def error(self, event: str, **facts: object) -> object:
        """Raise an alarm."""
        ...


class InventoryFile:
    """An inventory and the file that it is read from.

    Raises:
        ConfigError: the file cannot be read, or is no inventory.
    """

    def __init__(self, path: Path, diag: Diag) -> None:
        self._path = path
        self._diag = diag
        self._version: tuple[int, int, int] | None = self._read_version()
        self._changed: Inventory | None = self._read()

    def read_changed(self) -> Inventory | None:
        """The inventory, when it is the first time or the file has changed; else None.

        A bad file changes nothing: what was read before stays, and an alarm says why.
        """
        changed, self._changed = self._changed, None
        if changed is not None:
            return changed
        try:
            version = self._read_version()
            if version == self._version:
                return None
            self._version = version
            inventory = self._read()
        except ConfigError as error:
            if self._version is not None:
                self._diag.error("inventory_refused", reason=error.message)
            self._version = None
            return None
        self._diag.info("inventory_read", pods=len(inventory.pods), sha256=inventory.sha256.hex())
        return inventory

    def _read_version(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}", path=self._path) from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> Inventory:
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}", path=self._path) from error
        return parse_inventory(data, name=str(self._path))
