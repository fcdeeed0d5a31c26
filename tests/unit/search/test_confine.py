from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# In a process of its own: nothing gives the right to write back.
SCRIPT = """
import os, sys, threading
from pathlib import Path
from meshtrail.search.confine import deny_writes

folder = Path(sys.argv[1])
if not deny_writes():
    sys.exit(77)

def refused(call):
    try:
        call()
    except PermissionError:
        return True
    return False

attempts = {
    "create": lambda: (folder / "new").touch(),
    "overwrite": lambda: (folder / "old").write_text("x"),
    "truncate": lambda: os.truncate(folder / "old", 0),
    "remove": lambda: (folder / "old").unlink(),
    "rename": lambda: (folder / "old").rename(folder / "new"),
    "mkdir": lambda: (folder / "new").mkdir(),
}
outcomes = {}
thread = threading.Thread(
    target=lambda: outcomes.update({name: refused(call) for name, call in attempts.items()})
)
thread.start()
thread.join()
assert (folder / "old").read_text() == "evidence"
print(sorted(name for name, was_refused in outcomes.items() if not was_refused))
"""


def test_a_confined_process_reads_and_can_write_nowhere(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("evidence")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this system has no Landlock")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")
    assert (tmp_path / "old").read_text() == "evidence"
