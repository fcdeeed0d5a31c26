"""How lines that a mesh writes on its nodes reach meshtrail, as a comment above its configuration.

Source: docs/sources/http-records.md, docs/sources/file-tail.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.wiring.comments import format_comment

if TYPE_CHECKING:
    from meshtrail.wiring.values import Endpoint

POD_LOGS: Final = "/var/log/pods"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Lines of a mesh.

    Attributes:
        record_format: one of ``model.record_formats.LINE_FORMATS``.
        path: of the files on a node, with ``*`` for what differs.
        folder: of the node, which a reader has to mount.
    """

    record_format: str
    path: str
    folder: str = POD_LOGS


def format_arrival(lines: Lines, collector: Endpoint) -> str:
    """What has to carry the lines, and what is lost on the way.

    Args:
        lines: what is written, and where.
        collector: the HTTP door of meshtrail, for shippers.
    """
    scheme = "http" if collector.is_loopback else "https"
    url = f"{scheme}://{collector.format()}/v1/records/{lines.record_format}"
    intro = format_comment(
        f"Nothing below carries the lines. On each node something has to read {lines.folder} (a "
        "hostPath, read-only), and pass lines on whole, as they are. Either a log shipper, with a "
        "certificate or a token, and ?reporter=<node>&cluster=<cluster> for names:"
    )
    other = format_comment("or a recorder on the node, which keeps a log of its own:")
    lost = format_comment(
        "A line carries no proof of who wrote it, so nothing in it is ever attested. What is "
        "rotated away before it is read is lost, and nothing says so."
    )
    return f"""\
{intro}#
#   POST {url}
#
{other}#
#   [[collect.tail]]
#   path = "{lines.path}"
#   format = "{lines.record_format}"
#
{lost}"""
