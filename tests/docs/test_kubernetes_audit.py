from __future__ import annotations

import re
from typing import TYPE_CHECKING

from meshtrail.model.audited_resources import GOVERNING_GROUPS
from meshtrail.sources.kubernetes.security_change import SecurityChange

if TYPE_CHECKING:
    from pathlib import Path


def test_document_names_every_security_change_and_no_other(checkout: Path) -> None:
    text = (checkout / "docs" / "sources" / "kubernetes-audit.md").read_text()
    table = text.partition("| word | where, for example |")[2].partition("\n\n")[0]
    words = {
        word
        for line in table.splitlines()[1:]
        if line
        for word in re.findall(r"`([a-z_]+)`", line.split("|")[1])
    }
    assert words - {""} == {change.value for change in SecurityChange}


def test_document_names_every_governing_group(checkout: Path) -> None:
    text = (checkout / "docs" / "sources" / "kubernetes-audit.md").read_text()
    assert [group for group in GOVERNING_GROUPS if f"`{group}`" not in text] == []
