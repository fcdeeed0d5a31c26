"""The formats of records that files and bodies come in, by the names that people use for them."""

from __future__ import annotations

from typing import Final

from meshtrail.model.entry import PayloadFormat

LINE_FORMATS: Final = {
    "envoy-json": PayloadFormat.ENVOY_JSON,
    "istio-json": PayloadFormat.ISTIO_JSON,
    "istio-text": PayloadFormat.ISTIO_TEXT,
    "ztunnel": PayloadFormat.ZTUNNEL,
    "linkerd": PayloadFormat.LINKERD,
    "hubble": PayloadFormat.HUBBLE,
    "kubernetes-audit": PayloadFormat.KUBERNETES_AUDIT_JSON,
    "inventory": PayloadFormat.INVENTORY,
}
"""Formats of which a record is a line. Of the last two it may be an element of a JSON list, too."""

LISTED_FORMATS: Final = ("kubernetes-audit", "inventory")
GIT_LOG: Final = "git-log"
OTLP_JSON: Final = "otlp-json"
"""Exports of OTLP in JSON, one to a line or one to a file; they say what their records are."""

RECORD_FORMATS: Final = {**LINE_FORMATS, GIT_LOG: PayloadFormat.GIT_LOG}
"""Every format but OTLP's, whose exports say themselves what their records are."""
