"""On whose behalf each call of a trace is made: its own user, else the user of what caused it.

A proxy that verified a token names the user; those behind it usually see no token. So the user is
carried down, to every call that names none itself. A call that names one keeps it, also where it is
another than its cause's: that is how a user who changes on the way shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.event import Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.correlate.calls import Call

_STRENGTH: Final = {trust.value: at for at, trust in enumerate(Trust)}


@dataclass(frozen=True, slots=True)
class CallUser:
    """The user of a call.

    Attributes:
        user_id: the subject of a token, or what a header says.
        issuer: who issued the token that names the user; None without one.
        trust: of the record that names the user, where it is one of this call. Carried down it is
            ``derived``, and ``asserted`` where it came from a header: a join proves nothing more.
        log_index: of the entry that names the user.
        is_carried: whether that entry is of a call above.
    """

    user_id: str
    issuer: str | None
    trust: str
    log_index: int
    is_carried: bool = False

    def carried(self) -> CallUser:
        """The same user, of a call below."""
        trust = Trust.ASSERTED if self.trust == Trust.ASSERTED else Trust.DERIVED
        return CallUser(self.user_id, self.issuer, trust.value, self.log_index, is_carried=True)


def users_of_calls(roots: Sequence[Call]) -> dict[Call, CallUser]:
    """The user of each call, of the roots and of all below; a call without one is absent.

    Args:
        roots: calls with what they caused; ``build_calls`` bounds how deep.
    """
    users: dict[Call, CallUser] = {}
    waiting: list[tuple[Call, CallUser | None]] = [(root, None) for root in roots]
    while waiting:
        call, above = waiting.pop()
        user = _own_user(call) or (above.carried() if above is not None else None)
        if user is not None:
            users[call] = user
        waiting += [(one, user) for one in call.caused]
    return users


def _own_user(call: Call) -> CallUser | None:
    """The user that its records name; of two the one that is known better, else the callee's."""
    named = [record for record in call.records[::-1] if record["user_id"] is not None]
    if not named:
        return None
    return _as_user(min(named, key=lambda record: _STRENGTH[record["user_id_trust"]]))


def _as_user(record: dict[str, Any]) -> CallUser:
    return CallUser(
        user_id=record["user_id"],
        issuer=record["user_issuer"],
        trust=record["user_id_trust"],
        log_index=record["log_index"],
    )
