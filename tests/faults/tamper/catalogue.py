"""The tamper catalogue: each attack on a small log, and what has to be said of it.

The small log has 16 entries, sealed in ticks [0, 6), [6, 11), [11, 13), [13, 16), the first two
merged; manifests 0 to 5. Importing this module writes all attacks down, in order.
"""

from __future__ import annotations

from tests.faults.tamper import entry_attacks, file_attacks, history_attacks, honest_states
from tests.faults.tamper.attack import CATALOGUE, Attack

_ORDER = (file_attacks, history_attacks, entry_attacks, honest_states)


def all_attacks() -> list[Attack]:
    """Every attack, in the order of the modules and of the functions in them."""
    order = [module.__name__ for module in _ORDER]
    return sorted(CATALOGUE.attacks, key=lambda attack: order.index(attack.run.__module__))
