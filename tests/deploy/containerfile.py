"""Reads a Containerfile: its instructions, stage by stage, without an engine."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in capitals and all that follows, lines joined."""

    name: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The arguments, or the array where they are written as one."""
        found = re.search(r"\[.*\]$", self.rest)
        if found and self.name != "RUN":
            array: list[str] = json.loads(found[0])
            return array
        return self.rest.split()


def read_instructions(path: Path) -> list[Instruction]:
    """Every instruction, in order."""
    instructions, logical = [], ""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.lstrip().startswith("#") or not (line.strip() or logical):
            continue
        logical += line.removesuffix("\\")
        if not line.endswith("\\"):
            name, _, rest = logical.strip().partition(" ")
            assert name.isupper(), line
            instructions.append(Instruction(name, rest.strip()))
            logical = ""
    assert not logical
    return instructions


def stages(instructions: list[Instruction]) -> list[list[Instruction]]:
    """The instructions of each stage; what stands before the first belongs to none."""
    found: list[list[Instruction]] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found
