"""Which key a command holds signatures against: --key, the pin, or the directory's claim."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from meshtrail.verify import TrustedKey


def find_trusted_key(arguments: argparse.Namespace, *, is_remembering: bool) -> TrustedKey:
    """The key for ``arguments.data``.

    Args:
        arguments: with ``data``, ``key`` and ``require_pin``.
        is_remembering: whether a key that is only claimed is pinned for the next time.
    """
    from meshtrail.verify.pins import default_pins_file, find_log_key

    return find_log_key(
        arguments.data,
        key_option=arguments.key,
        pins_file=default_pins_file(os.environ),
        is_pin_required=arguments.require_pin,
        is_remembering=is_remembering,
    )
