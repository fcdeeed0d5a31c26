"""Make requirements/*.txt from pyproject.toml: every version and hash, for all platforms at once.

The largest level is resolved first and binds the smaller ones, so that the files never
disagree and an environment can grow from one level to the next in place.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_VERSION_MIN = "3.11"
HEADER = "# Made by ./dev lock from pyproject.toml; do not edit.\n"
UNIVERSAL = ["--universal", "--python-version", PYTHON_VERSION_MIN, "--generate-hashes"]
# Which registry serves the files is the installing machine's business, so the lock names none.
NEUTRAL = ["--no-emit-index-url", "--no-emit-find-links", "--no-header", "--quiet"]


def main() -> None:
    """Write check.txt, then the smaller ones within its versions."""
    make_lock("check", ["--group", "check", *sys.argv[1:]])
    constraints = ["--constraints", "requirements/check.txt"]
    make_lock("test", ["--group", "test", *constraints])
    make_lock("demo", ["--group", "demo", *constraints])
    make_lock("run", constraints)


def make_lock(level: str, options: list[str]) -> None:
    """Resolve one level and write its file."""
    lock = ROOT / "requirements" / f"{level}.txt"
    before = lock.read_text(encoding="utf-8") if lock.exists() else ""
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "compile", "pyproject.toml", *UNIVERSAL, *NEUTRAL, *options]
    done = subprocess.run([*command, "--output-file", str(lock)], cwd=ROOT, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)  # uv has said why
    after = HEADER + lock.read_text(encoding="utf-8")
    lock.write_text(after, encoding="utf-8")
    print(f"requirements/{level}.txt: {'unchanged' if after == before else 'changed'}")


if __name__ == "__main__":
    main()
