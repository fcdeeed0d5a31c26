"""Where this checkout is; importing it makes the rig of the tests importable for a benchmark."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "bench" / "data"

# A script has only its own folder on the path; the rig lies under the checkout's root.
for folder in (ROOT, ROOT / "src"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
