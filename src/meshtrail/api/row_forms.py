"""Found rows as they leave: JSON in one object, JSON lines, or an Arrow stream.

Rows are those of ``search.json_lines``. Each form is fed batches and gives bytes to send.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec
import pyarrow as pa

from meshtrail.search.json_lines import format_json_lines

if TYPE_CHECKING:
    from meshtrail.api.search_body import Form


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """What an answer rests on.

    Attributes:
        log: its origin.
        tree_size: how much of it was searched.
        checkpoint_size: of the checkpoint that covers it; None while nothing was ever sealed.
        root_hash: of that checkpoint, in hex.
        completeness: of the period that was searched, in a line; None where it was not asked for.
    """

    log: str
    tree_size: int
    checkpoint_size: int | None
    root_hash: str | None
    completeness: str | None = None

    def as_json(self) -> dict[str, object]:
        """Plain facts: the log, how much of it was searched, and the tree head that covers it."""
        head = {"tree_size": self.checkpoint_size, "root_hash": self.root_hash}
        return {
            "log": self.log,
            "tree_size": self.tree_size,
            "checkpoint": head if self.root_hash is not None else None,
            **({} if self.completeness is None else {"completeness": self.completeness}),
        }

    def as_headers(self) -> dict[str, str]:
        """The same for the head of an answer, where the form has no place for it."""
        headers = {
            "meshtrail-log": self.log,
            "meshtrail-tree-size": str(self.tree_size),
        }
        if self.completeness is not None:
            # Names of reporters may be of any script.
            plain = self.completeness.encode("ascii", "backslashreplace")
            headers["meshtrail-completeness"] = plain.decode()
        return headers


class RowForm(Protocol):
    """One form of rows.

    Attributes:
        media_type: of the answer.
        is_whole: whether nothing is sent before the last row is there.
    """

    media_type: str
    is_whole: bool

    def begin(self, facts: AnswerFacts, schema: pa.Schema) -> bytes:
        """What stands before the rows."""
        ...

    def add(self, batch: pa.RecordBatch) -> bytes:
        """The rows of a batch."""
        ...

    def end(self, *, found: int, has_more: bool) -> bytes:
        """What stands behind them."""
        ...


class JsonForm:
    """One JSON object; an error that comes late still gets its own status."""

    media_type = "application/json"
    is_whole = True

    def __init__(self) -> None:
        self._is_first = True

    def begin(self, facts: AnswerFacts, schema: pa.Schema) -> bytes:
        """The facts, and the beginning of the list of rows."""
        columns = {"columns": schema.names}
        return msgspec.json.encode({**facts.as_json(), **columns})[:-1] + b',"rows":['

    def add(self, batch: pa.RecordBatch) -> bytes:
        """Objects with commas between them."""
        lines = list(format_json_lines(batch))
        if not lines:
            return b""
        before = "" if self._is_first else ",\n"
        self._is_first = False
        return (before + ",\n".join(lines)).encode()

    def end(self, *, found: int, has_more: bool) -> bytes:
        """How many there are, known only now."""
        return b"]," + msgspec.json.encode({"found": found, "has_more": has_more})[1:]


class LinesForm:
    """One JSON object a line, as soon as it is found."""

    media_type = "application/x-ndjson"
    is_whole = False

    def begin(self, facts: AnswerFacts, schema: pa.Schema) -> bytes:  # noqa: ARG002 - the protocol's
        """Nothing: every line is a row."""
        return b""

    def add(self, batch: pa.RecordBatch) -> bytes:
        """Lines."""
        return "".join(f"{line}\n" for line in format_json_lines(batch)).encode()

    def end(self, *, found: int, has_more: bool) -> bytes:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return b""


class ArrowForm:
    """An Arrow IPC stream, batch by batch; the facts are metadata of its schema.

    The last batch has no rows and ``found`` and ``has_more`` as its own metadata.
    """

    media_type = "application/vnd.apache.arrow.stream"
    is_whole = False

    def __init__(self) -> None:
        self._sink = io.BytesIO()
        self._stream: pa.RecordBatchStreamWriter | None = None
        self._schema: pa.Schema | None = None

    def begin(self, facts: AnswerFacts, schema: pa.Schema) -> bytes:
        """The schema."""
        told = {
            f"meshtrail.{name}": fact if isinstance(fact, str) else msgspec.json.encode(fact)
            for name, fact in facts.as_json().items()
        }
        self._schema = schema.with_metadata({**(schema.metadata or {}), **told})
        self._stream = pa.ipc.new_stream(self._sink, self._schema)
        return self._take()

    def add(self, batch: pa.RecordBatch) -> bytes:
        """A batch; one without rows is left out."""
        if batch.num_rows and self._stream is not None:
            self._stream.write_batch(batch)
        return self._take()

    def end(self, *, found: int, has_more: bool) -> bytes:
        """The empty batch that says that this is all, and the end of the stream."""
        if self._stream is not None:
            last = pa.RecordBatch.from_pylist([], schema=self._schema)
            told = {"found": str(found), "has_more": str(has_more).lower()}
            self._stream.write_batch(last, custom_metadata=told)
            self._stream.close()
        return self._take()

    def _take(self) -> bytes:
        data = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return data


def make_form(name: Form) -> RowForm:
    """The form of that name."""
    match name:
        case "json":
            return JsonForm()
        case "ndjson":
            return LinesForm()
        case "arrow":
            return ArrowForm()
