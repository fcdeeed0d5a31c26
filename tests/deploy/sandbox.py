"""Runs a command under the restrictions of a systemd unit, where there is no systemd to do it.

    python -m tests.deploy.sandbox UNIT WRITABLE_DIR COMMAND …

Enforced as systemd does: system call filter and address families (seccomp), W^X, no new privileges,
an empty capability bounding set, a read-only file system but for the writable folder, a /proc that
shows processes only, limits and umask. Needs root, libseccomp and systemd-analyze.
"""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
from pathlib import Path

from tests.deploy.unit_file import read_unit

LIBSECCOMP = "libseccomp.so.2"
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_MDWE = 24, 38, 65
_MDWE_REFUSE_EXEC_GAIN = 1
_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
_CAPABILITIES_COUNT = 64
_SECCOMP_ALLOW, _SECCOMP_ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _EAFNOSUPPORT = 1, 97
_EQUAL = 4
_FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10}


class _Compare(ctypes.Structure):
    """``struct scmp_arg_cmp``."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def system_calls(values: list[str]) -> set[str]:
    """The calls that ``SystemCallFilter=`` lines allow, groups taken apart by systemd-analyze."""
    groups = _groups()

    def expand(name: str) -> set[str]:
        if not name.startswith("@"):
            return {name}
        return {call for member in groups[name] for call in expand(member)}

    allowed: set[str] = set()
    for value in values:
        named = {call for name in value.lstrip("~").split() for call in expand(name)}
        allowed = allowed - named if value.startswith("~") else allowed | named
    return allowed


def _groups() -> dict[str, list[str]]:
    command = ["systemd-analyze", "syscall-filter", "--no-pager"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    groups: dict[str, list[str]] = {}
    members: list[str] = []
    for line in printed.split("\n"):
        if line.startswith("@"):
            members = groups.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.lstrip().startswith("#"):
            members.append(line.strip())
        elif line.strip() and not line.startswith(" "):
            members = []  # what the kernel has and no group
    return groups


def main() -> None:
    """Take the rights away, and become the command."""
    unit = read_unit(Path(sys.argv[1]))
    writable, command = Path(sys.argv[2]), sys.argv[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    calls = system_calls(unit["SystemCallFilter"])
    families = unit["RestrictAddressFamilies"][0].split()
    _mount_read_only(libc, writable)
    os.umask(int(unit["UMask"][0], 8))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files_max = min(int(unit["LimitNOFILE"][0]), hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))
    for capability in range(_CAPABILITIES_COUNT):
        # Fails for those that this kernel does not have.
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        _check(libc.prctl(_PR_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN, 0, 0, 0), "MDWE")
    _check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    _load_filter(calls, families)
    os.execvp(command[0], command)  # noqa: S606 - to become the command is what it is for


def _mount_read_only(libc: ctypes.CDLL, writable: Path) -> None:
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _check(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None), "mount private")
    folder = os.fsencode(writable)
    _check(libc.mount(folder, folder, None, _MS_BIND, None), "bind")
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").split("\n")
    points = [line.split(" ")[4] for line in mounts if line]
    for point in points:
        if point != str(writable) and not point.startswith(("/dev", "/proc", "/sys")):
            flags = _MS_REMOUNT | _MS_BIND | _MS_RDONLY
            _check(libc.mount(None, os.fsencode(point), None, flags, None), point)
    _check(libc.mount(b"proc", b"/proc", b"proc", 0, b"subset=pid"), "proc")


def _load_filter(calls: set[str], families: list[str]) -> None:
    seccomp = ctypes.CDLL(LIBSECCOMP)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(_SECCOMP_ERRNO | _EPERM))
    by_family = {"socket", "socketpair"}
    for name in sorted(calls - by_family):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # else one of another architecture
            _check(
                seccomp.seccomp_rule_add(context, ctypes.c_uint32(_SECCOMP_ALLOW), number, 0), name
            )
    for name in sorted(by_family):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        for family in families:
            wanted = _Compare(0, _EQUAL, _FAMILIES[family], 0)
            added = seccomp.seccomp_rule_add_array(
                context, ctypes.c_uint32(_SECCOMP_ALLOW), number, 1, ctypes.byref(wanted)
            )
            _check(added, family)
    _check(seccomp.seccomp_load(context), "seccomp")


def _check(result: int, what: str) -> None:
    if result != 0:
        sys.exit(f"sandbox: {what}: {result}, {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
