"""What must not stand in any file, and what must not stand there without a reason."""

from __future__ import annotations

import re

from tests.tidy.checkout import ROOT, files, listed, named, text_files, text_of

# Put together here, or this file would be the first to be found.
REGISTRIES = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
    ]
]
MACHINE_PATHS = [
    "/".join(parts) for parts in [("", "work", ""), ("", "tmp", "w"), ("", "root", "")]
]
UNFINISHED = re.compile(
    r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b"
)
# The last directive on a line that silences a tool, and what stands after it: codes, then words.
SILENCED = re.compile(r".*#\s*(?:noqa|type: ignore|pyright: ignore|pragma: no cover)(.*)$")
CODES = re.compile(r"[\s:,]*(?:\[[\w, -]+\]|[A-Z]+[0-9]+\b)")
SLEEP = re.compile(r"\b(?:time|asyncio)\.sleep\((?!0\))")


def found(pattern: re.Pattern[str], *suffixes: str) -> list[str]:
    return [
        f"{named(path)}:{number}: {line.strip()[:80]}"
        for path in text_files()
        if not suffixes or path.suffix in suffixes
        for number, line in enumerate(text_of(path).split("\n"), start=1)
        if pattern.search(line)
    ]


def test_no_file_names_the_host_of_a_package_registry() -> None:
    # Which registry a machine uses is its own configuration; a lock that names one breaks mirrors.
    wrong = found(re.compile("|".join(map(re.escape, REGISTRIES))))
    assert not wrong, listed(wrong)


def test_no_file_holds_a_path_of_one_machine() -> None:
    wrong = found(re.compile("|".join(rf"(?<![\w.]){re.escape(one)}" for one in MACHINE_PATHS)))
    assert not wrong, listed(wrong)


def test_no_file_carries_a_note_of_unfinished_work() -> None:
    wrong = found(UNFINISHED)
    assert not wrong, listed(wrong)


def test_every_silenced_check_says_why_beside_it() -> None:
    bare = []
    for path in files("src", "tests", "bench", "tools", suffix=".py"):
        lines = ["", *text_of(path).split("\n")]
        for number, line in enumerate(lines):
            silenced = SILENCED.search(line)
            if silenced is None or gives_reason(silenced.group(1), above=lines[number - 1]):
                continue
            bare.append(f"{named(path)}:{number}: {line.strip()[:80]}")
    assert not bare, listed(bare)


def test_every_sleep_in_a_test_says_why_beside_it() -> None:
    bare = []
    for path in files("tests", suffix=".py"):
        lines = ["", *text_of(path).split("\n")]
        bare += [
            f"{named(path)}:{number}: {line.strip()}"
            for number, line in enumerate(lines)
            if SLEEP.search(line) and "#" not in line and not is_comment(lines[number - 1])
        ]
    assert not bare, listed(bare)


def test_every_file_is_utf8_and_ends_with_one_newline() -> None:
    wrong = [
        named(path)
        for path in files(suffix=".py") + files(suffix=".md") + files(suffix=".toml")
        if (text := text_of(path)) and not is_clean(text)
    ]
    assert not wrong, listed(wrong)


def test_the_licence_is_the_whole_of_apache_2() -> None:
    licence = text_of(ROOT / "LICENSE")
    assert "Version 2.0, January 2004" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    assert "limitations under the License." in licence


def gives_reason(rest: str, *, above: str) -> bool:
    """Whether words follow the codes of a silencing comment, or a comment stands above it."""
    while code := CODES.match(rest):
        rest = rest[code.end() :]
    reason = rest.strip(" :#-")
    return len(reason.split()) > 1 or is_comment(above)


def is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def is_clean(text: str) -> bool:
    return not re.search(r"[\udc80-\udcff\r]", text) and text.endswith("\n") and text[-2:] != "\n\n"
