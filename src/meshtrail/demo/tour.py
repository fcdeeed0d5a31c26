"""The guided tour: shows commands with their output, and holds claims against what they say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from meshtrail.demo.narration import Narrator
    from meshtrail.demo.shell import Output

Row = dict[str, Any]


class CommandRunner(Protocol):
    """Whatever runs the commands of a tour."""

    def run(self, command: str, /) -> Output:
        """Run a command to be shown."""
        ...

    def ask(self, command: str, /) -> Output:
        """Run a command for what it prints on standard output alone."""
        ...


class Tour:
    """One walk through the record, and how many claims held.

    Attributes:
        claims_count: claims made.
        failures_count: claims that did not hold.
    """

    def __init__(self, narrator: Narrator, shell: CommandRunner) -> None:
        self._narrator = narrator
        self._shell = shell
        self.steps_count = 0
        self.claims_count = 0
        self.failures_count = 0

    def step(self, title: str, about: str) -> None:
        """Begin a step."""
        self.steps_count += 1
        self._narrator.heading(self.steps_count, title)
        self._narrator.say(about)

    def say(self, text: str) -> None:
        """Go on in words within a step."""
        self._narrator.space()
        self._narrator.say(text)

    def show(self, command: str, *, exit_status: int = 0) -> str:
        """Run a command in front of the reader.

        Args:
            command: a line for ``sh``.
            exit_status: what it has to end with; another is a claim that does not hold.

        Returns:
            What it printed.
        """
        self._narrator.command(command)
        output = self._shell.run(command)
        self._narrator.output(output.text)
        if output.exit_status != exit_status:
            self.claim(
                f"`{command}` ends with status {exit_status}",
                want=exit_status,
                got=output.exit_status,
            )
        return output.text

    def ask(self, command: str) -> list[Row]:
        """The JSON that a command gives, for claims: one object for each line."""
        output = self._shell.ask(f"{command} --json")
        try:
            return [json.loads(line) for line in output.text.split("\n") if line]
        except ValueError:
            self.claim(f"`{command} --json` prints JSON", want="JSON", got=output.text[-400:])
            return []

    def ask_text(self, command: str) -> str:
        """What a command prints, unseen."""
        return self._shell.ask(command).text

    def ask_one(self, command: str) -> Row:
        """The one JSON object that a command gives; empty when it gives none."""
        return next(iter(self.ask(command)), {})

    def find(self, query: str, *, columns: str) -> list[Row]:
        """Show a search with these columns, and give the whole events that it finds."""
        command = f"meshtrail search '{query}'"
        self.show(f"{command} --columns {columns}")
        return self.ask(command)

    def begin_claims(self) -> None:
        """Set the claims of a step apart from what was shown."""
        self._narrator.space()

    def claim(self, text: str, *, want: object, got: object) -> None:
        """Say something of what was shown; it has to hold."""
        self.claims_count += 1
        holds = want == got
        self.failures_count += not holds
        self._narrator.claim(text, holds=holds, want=want, got=got)
