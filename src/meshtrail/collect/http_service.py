"""What is taken at one path of the HTTP door, and what the door asks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from meshtrail.collect.export import Export
    from meshtrail.collect.exports import Taken
    from meshtrail.collect.http_request import HttpRequest
    from meshtrail.collect.peer import Peer


class Admitted(NamedTuple):
    """A request whose body is read.

    Attributes:
        sender: whose share it takes of what may be under way at once.
        finish: makes of the body, unpacked, what is taken, and says who sent it; raises
            UnauthenticatedError where that takes the body to know.
    """

    sender: Hashable
    finish: Callable[[bytes], tuple[Peer, Export]]


class HttpService(Protocol):
    """What answers the requests for one path."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The content types that are taken."""
        ...

    def admit(self, request: HttpRequest) -> Admitted:
        """Let a request in, before anything of its body is read.

        Raises:
            UnauthenticatedError: its sender does not show what it has to.
            RequestError: its head says what cannot be taken.
        """
        ...

    def answer(self, request: HttpRequest, taken: Taken) -> bytes:
        """What the sender hears of what is durable now, in the encoding of its request."""
        ...
