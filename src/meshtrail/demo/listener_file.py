"""The file that a sidecar takes its listeners from, and takes them again from when it is replaced.

Envoy watches it, so whoever can write in the pod decides what the sidecar logs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meshtrail.demo.envoy_config import Config

_LISTENER: Final = "type.googleapis.com/envoy.config.listener.v3.Listener"
_ACCESS_LOG: Final = "access_log"


class ListenerFile:
    """A file of listeners.

    Args:
        path: of it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def source(self) -> Config:
        """What a bootstrap says, in place of listeners of its own."""
        watched = {"path_config_source": {"path": str(self.path)}, "resource_api_version": "V3"}
        return {"lds_config": watched}

    def write(self, listeners: Sequence[Config]) -> None:
        """Move a file with these listeners into place."""
        resources = [{"@type": _LISTENER, **listener} for listener in listeners]
        self._replace({"version_info": "1", "resources": resources})

    def silence(self) -> None:
        """Take every access log out of it, and leave all else as it is."""
        written = json.loads(self.path.read_text(encoding="utf-8"))
        self._replace(without_access_logs({**written, "version_info": "2"}))

    def _replace(self, written: object) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(written, indent=1), encoding="utf-8")
        # Envoy reads it again when something is moved there, not when it is written to.
        fresh.replace(self.path)


def without_access_logs(part: object) -> object:
    """The same configuration, but for its access logs."""
    if isinstance(part, dict):
        kept = {name: value for name, value in part.items() if name != _ACCESS_LOG}
        return {name: without_access_logs(value) for name, value in kept.items()}
    if isinstance(part, list):
        return [without_access_logs(one) for one in part]
    return part
