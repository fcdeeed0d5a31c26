"""What the supervisor hands to a process, as plain values in one JSON line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshtrail.app.keys import read_key_file
from meshtrail.config import Configuration, make_configuration
from meshtrail.store.layout import Layout

if TYPE_CHECKING:
    from meshtrail.note import SignerKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessOptions:
    """The options of one process.

    Attributes:
        key_file: where the private key lies; the key itself is never handed over.
    """

    layout: Layout
    key_file: Path
    configuration: Configuration

    def read_signer(self) -> SignerKey:
        """The log's private key.

        Raises:
            KeyFileError: missing, readable by others, or no key.
        """
        return read_key_file(self.key_file, data=self.layout.root)


def format_process_options(
    *, data: Path, key_file: Path, tables: dict[str, Any], overrides: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """The plain form of what ``read_process_options`` reads; all paths absolute."""
    return {
        "data": str(data),
        "key_file": str(key_file),
        "tables": tables,
        "overrides": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in overrides.items()
            if value is not None
        },
        "folder": str(folder),
    }


def read_process_options(plain: dict[str, Any]) -> ProcessOptions:
    """The options in their plain form.

    Raises:
        ConfigError: the configuration does not make sense.
    """
    configuration = make_configuration(
        plain["tables"], overrides=plain["overrides"], folder=Path(plain["folder"])
    )
    return ProcessOptions(
        layout=Layout(Path(plain["data"])),
        key_file=Path(plain["key_file"]),
        configuration=configuration,
    )
