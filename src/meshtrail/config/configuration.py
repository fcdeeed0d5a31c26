"""Everything that ``meshtrail up`` can be told, as one tree of frozen options."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - the reader of options looks at annotations
from typing import Final

from meshtrail.collect.options import CollectOptions
from meshtrail.config.serve import ServeOptions
from meshtrail.errors import ConfigError
from meshtrail.journal import JournalOptions
from meshtrail.log.options import SealOptions

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What a new log is called; an existing one keeps its name.

    Attributes:
        mesh: first part of the origin.
        cluster: second part of the origin.
    """

    mesh: str = "mesh"
    cluster: str = "local"

    def __post_init__(self) -> None:
        """Raise ConfigError for a name that cannot stand in an origin."""
        for key, name in (("mesh", self.mesh), ("cluster", self.cluster)):
            if not _NAME.fullmatch(name):
                raise ConfigError(
                    f"log.{key} is {name!r}: want 1 to 63 lower-case letters, digits, dots, dashes",
                    key=f"log.{key}",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyOptions:
    """Where the private key lies.

    Attributes:
        file: the log's private key; by default one in MESHTRAIL_HOME named after the origin.
    """

    file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerOptions:
    """What the ledger goes by.

    Attributes:
        inventory: what runs where, see docs/completeness.md; read again when the file changes.
    """

    inventory: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One section for each stage."""

    log: LogOptions = field(default_factory=LogOptions)
    collect: CollectOptions = field(default_factory=CollectOptions)
    journal: JournalOptions = field(default_factory=JournalOptions)
    seal: SealOptions = field(default_factory=SealOptions)
    ledger: LedgerOptions = field(default_factory=LedgerOptions)
    serve: ServeOptions = field(default_factory=ServeOptions)
    keys: KeyOptions = field(default_factory=KeyOptions)
