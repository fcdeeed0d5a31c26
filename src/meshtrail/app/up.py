"""Puts ``up`` together: data directory and key, processes and supervisor, what it tells."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from meshtrail.app.clock import SystemClock
from meshtrail.app.data import OwnedData, open_owned_data
from meshtrail.app.diag import configure_diag
from meshtrail.app.keys import check_outside
from meshtrail.app.process_options import format_process_options
from meshtrail.app.run_file import RunFile
from meshtrail.app.supervised import ProcessSpec
from meshtrail.app.supervisor import Supervisor
from meshtrail.config import make_configuration
from meshtrail.note import format_fingerprint, format_vkey
from meshtrail.store.durable import Disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from meshtrail.app.supervised import Supervised

COLLECT_STOP_SECONDS_MAX: Final = 30.0
LEDGER_STOP_SECONDS_MAX: Final = 10.0
SEAL_STOP_SECONDS_MAX: Final = 120.0
"""A full journal of 1 GiB is sealed within this; what is left is sealed at the next start."""
SERVE_STOP_SECONDS_MAX: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UpRequest:
    """What ``up`` was asked to do.

    Attributes:
        data: the data directory, made on the first start.
        tables: of the configuration file; empty without one.
        overrides: from the command line, by ``section.key``.
        folder: what relative paths in ``tables`` are relative to.
        home: where keys lie by default.
    """

    data: Path
    tables: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    folder: Path
    home: Path
    pins_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Everything runs.

    Attributes:
        collect: what the collect process told: addresses, and how they are secured.
        serve: what the serve process told; that there is no address when none runs.
        pids: process ids by name.
    """

    owned: OwnedData
    collect: dict[str, Any]
    serve: dict[str, Any]
    pids: dict[str, int]

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        verifier = self.owned.signer.verifier
        return {
            "event": "ready",
            "origin": self.owned.signer.name,
            "vkey": format_vkey(verifier),
            "fingerprint": format_fingerprint(verifier),
            "data": str(self.owned.layout.root),
            "key_file": str(self.owned.key_file),
            **self.collect,
            **self.serve,
            "pids": self.pids,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """A process died and does its work again."""

    process: str
    pid: int
    exit_status: int

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        return {
            "event": "restarted",
            "process": self.process,
            "pid": self.pid,
            "exit": self.exit_status,
        }


class Listener(Protocol):
    """Whoever shows what happens."""

    def __call__(self, happened: Ready | Restarted, /) -> object:
        """Take one thing that happened."""
        ...


def run_up(request: UpRequest, listener: Listener) -> int:
    """Run until asked to stop.

    Returns:
        The exit status: 0 after an orderly stop.

    Raises:
        ConfigError, TamperError: it must not start, or go on.
        UnavailableError: a process does not come up, for example because another one writes here.
    """
    # Read once here, so that a typo is refused before anything is made.
    configuration = make_configuration(
        request.tables, overrides=request.overrides, folder=request.folder
    )
    if configuration.collect.tokens is not None:
        check_outside(configuration.collect.tokens, request.data, what="tokens")
    owned = open_owned_data(
        Disk(),
        request.data.absolute(),
        log=configuration.log,
        key_file=configuration.keys.file,
        home=request.home,
        pins_file=request.pins_file,
    )
    alarms: Counter[str] = Counter()
    diag = configure_diag(process="up", alarms=alarms)

    def tell_ready(running: Mapping[str, Supervised]) -> None:
        # Not before: a second `up` on the directory, which never gets here, must not touch it.
        stack.enter_context(run_file)
        told = {name: child.ready or {} for name, child in running.items()}
        pids = {name: child.process.pid for name, child in running.items()}
        serve = told.get("serve", {"http": None})
        listener(Ready(owned=owned, collect=told["collect"], serve=serve, pids=pids))

    def tell_restart(child: Supervised, status: int) -> None:
        name, pid = child.spec.name, child.process.pid
        listener(Restarted(process=name, pid=pid, exit_status=status))

    supervisor = Supervisor(
        _specs(request, owned, is_serving=configuration.serve.is_on),
        diag=diag,
        on_ready=tell_ready,
        on_restart=tell_restart,
    )

    def read_facts() -> dict[str, object]:
        return {**supervisor.read_facts(), "alarms": dict(alarms)}

    run_file = RunFile(owned.layout, "up", clock=SystemClock(), read_facts=read_facts)
    with ExitStack() as stack:
        return supervisor.run()


def _specs(request: UpRequest, owned: OwnedData, *, is_serving: bool) -> list[ProcessSpec]:
    """The processes in the order in which they stop.

    Seal has to seal what collect and the ledger said last; serve shows it to those who look until
    then.
    """

    def spec(name: str, module: str, stop_seconds_max: float) -> ProcessSpec:
        options = format_process_options(
            data=owned.layout.root,
            key_file=owned.key_file,
            tables=request.tables,
            overrides=request.overrides,
            folder=request.folder,
        )
        return ProcessSpec(name, [sys.executable, "-P", "-m", module], options, stop_seconds_max)

    def reading(name: str, module: str, stop_seconds_max: float) -> ProcessSpec:
        """One that reads the log: it is given the public key, and never opens the private one."""
        one = spec(name, module, stop_seconds_max)
        one.options["vkey"] = format_vkey(owned.signer.verifier)
        one.is_essential = False
        return one

    specs = [
        spec("collect", "meshtrail.app.collect_process", COLLECT_STOP_SECONDS_MAX),
        reading("ledger", "meshtrail.app.ledger_process", LEDGER_STOP_SECONDS_MAX),
        spec("seal", "meshtrail.app.seal_process", SEAL_STOP_SECONDS_MAX),
    ]
    if is_serving:
        specs.append(reading("serve", "meshtrail.api.serve_process", SERVE_STOP_SECONDS_MAX))
    return specs
