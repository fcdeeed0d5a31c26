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

    A file that is not there, or is no inventory, keeps nobody from the rest of the work.
    """

    def __init__(self, path: Path, diag: Diag) -> None:
        self._path = path
        self._diag = diag
        self._version: tuple[int, ...] | None = ()

    def read_changed(self) -> Inventory | None:
        """The inventory, when it is the first time or the file has changed; else None.

        A bad file changes nothing: what was read before stays, and one alarm says why.
        """
        version = self._read_version()
        if version == self._version:
            return None
        self._version = version
        try:
            inventory = self._read()
        except ConfigError as error:
            self._diag.error("inventory_refused", reason=f"ledger.inventory: {error.message}")
            return None
        self._diag.info("inventory_read", pods=len(inventory.pods), sha256=inventory.sha256.hex())
        return inventory

    def _read_version(self) -> tuple[int, ...] | None:
        """What differs as soon as the file does; None when there is none."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        # That it may be read changes its inode alone.
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _read(self) -> Inventory:
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self._path}: {error.strerror}", path=self._path) from error
        return parse_inventory(data, name=str(self._path))
