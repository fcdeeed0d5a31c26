"""The guided tour: shows commands with their output, and holds claims against what they say."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.demo.narration import Narrator
    from meshtrail.demo.shell import Output

LOOK_EVERY_S: Final = 0.5
TELL_EVERY_S: Final = 5.0

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
        self._answers: dict[str, list[Row]] = {}
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

    def show_and_ask(self, command: str, *, options: str = "", exit_status: int = 0) -> list[Row]:
        """Run a command in front of the reader, and beside it for claims.

        Args:
            command: a line for ``sh``.
            options: for the reader only, such as columns.
            exit_status: as for ``show``.

        Returns:
            As ``ask``.
        """
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(self._shell.ask, f"{command} --json")
            self.show(f"{command}{options}", exit_status=exit_status)
        return self._read(command, asked.result().text)

    def ask(self, command: str) -> list[Row]:
        """The JSON that a command gives, for claims: one object for each line."""
        return self._read(command, self._shell.ask(f"{command} --json").text)

    def recall(self, command: str) -> list[Row]:
        """What a command gave when it was last asked; it is asked now if it was not."""
        return self._answers[command] if command in self._answers else self.ask(command)

    def ask_text(self, command: str) -> str:
        """What a command prints, unseen."""
        return self._shell.ask(command).text

    def ask_one(self, command: str) -> Row:
        """The one JSON object that a command gives; empty when it gives none."""
        return next(iter(self.ask(command)), {})

    def find(self, query: str, *, columns: str) -> list[Row]:
        """Show a search with these columns, and give the whole events that it finds."""
        return self.show_and_ask(f"meshtrail search '{query}'", options=f" --columns {columns}")

    def wait_for(
        self,
        what: str,
        condition: Callable[[], bool],
        *,
        seconds_max: float,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        """Look until something is in the log, and say so while it is not.

        What does not come in time is left to the claims, which say what is there instead.

        Args:
            what: a sentence that says what holds then.
            condition: what is looked at.
            seconds_max: how long to go on looking.
            pause: between two looks.
        """
        began_s = time.monotonic()
        told_s = 0.0
        while not condition():
            waited_s = time.monotonic() - began_s
            if waited_s > seconds_max:
                self._narrator.tell(f"waited {waited_s:.0f} s in vain")
                return
            if waited_s >= told_s:
                self._narrator.tell(f"waiting until {what}: {waited_s:.0f} s")
                told_s += TELL_EVERY_S
            pause(LOOK_EVERY_S)

    def begin_claims(self) -> None:
        """Set the claims of a step apart from what was shown."""
        self._narrator.space()

    def claim(self, text: str, *, want: object, got: object) -> None:
        """Say something of what was shown; it has to hold."""
        self.claims_count += 1
        holds = want == got
        self.failures_count += not holds
        self._narrator.claim(text, holds=holds, want=want, got=got)

    def _read(self, command: str, text: str) -> list[Row]:
        try:
            rows = [json.loads(line) for line in text.split("\n") if line]
        except ValueError:
            self.claim(f"`{command} --json` prints JSON", want="JSON", got=text[-400:])
            return []
        self._answers[command] = rows
        return rows
