"""uvicorn on a socket of ours: bounded, silent, and stopped by us alone."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final, Protocol

import uvicorn

from meshtrail.errors import ConfigError
from meshtrail.http.connection import BoundedConnection

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from meshtrail.http.asgi import ASGIApp

BACKLOG: Final = 128
KEEP_ALIVE_SECONDS: Final = 5
DRAIN_SECONDS_MAX: Final = 5
"""How long answers that were begun may go on after the end was asked for."""

_SILENT: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"nowhere": {"class": "logging.NullHandler"}},
    "loggers": {"uvicorn": {"handlers": ["nowhere"], "propagate": False}},
}
"""Diagnostics are ours: what fails in a handler is noted before uvicorn hears of it."""


class Place(Protocol):
    """Where to listen."""

    @property
    def host(self) -> str:
        """A name or an address."""
        ...

    @property
    def port(self) -> int:
        """0 lets the system choose."""
        ...

    def format(self) -> str:
        """As people write it."""
        ...


class Server(uvicorn.Server):
    """Serves one application on one socket, until ``should_exit``."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        connections_max: int,
        on_ready: Callable[[], object],
        keep_alive_seconds: int = KEEP_ALIVE_SECONDS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take what to serve.

        Args:
            app: the application.
            connections_max: more are answered with 503.
            on_ready: called when requests are heard.
            keep_alive_seconds: how long a connection may be idle between two requests.
            tls: None for plaintext.
        """
        config = uvicorn.Config(
            app,
            interface="asgi3",
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            log_config=_SILENT,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            limit_concurrency=connections_max,
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=DRAIN_SECONDS_MAX,
        )
        config.load()
        config.ssl = tls
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self._on_ready()

    def cut(self) -> None:
        """Cut what is left, when the server was not let go on to its end."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()


def open_socket(address: Place, *, option: str) -> socket.socket:
    """A socket that listens there.

    Args:
        address: where.
        option: of the command line, which names another address.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    text = address.format()
    try:
        (family, kind, protocol, _, place), *_ = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM
        )
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {text}: {error.strerror}", address=text) from error
    try:
        # A connection of before a restart, which the system still remembers, is in nobody's way.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {text}: {error.strerror}. Is another process listening there? "
            f"{option} names another address, {option} off none",
            address=text,
        ) from error
    listening.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return listening
