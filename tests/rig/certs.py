"""The authority of the demo, under the name that unit tests know it by."""

from __future__ import annotations

from meshtrail.demo.authority import Authority, Identity

__all__ = ["Authority", "Identity"]
