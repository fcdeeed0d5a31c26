"""The exception tree: branches by what the operator does about it.

    MeshtrailError
    ├── InputError            malformed bytes or request: refuse it, say why           exit 65
    │   ├── EntryFormatError      bytes that are not a version-1 entry
    │   ├── ProofSyntaxError      a proof or tile that is not in its canonical form
    │   ├── NoteSyntaxError       a signed note, checkpoint or key that is not canonical
    │   ├── ManifestSyntaxError   a manifest that is not canonical
    │   ├── QueryError            a query that cannot be planned
    │   ├── RequestError          an HTTP request that is refused before it is understood
    │   ├── UnauthenticatedError  a sender that does not show who it is
    │   ├── BundleError           a file that is not a proof or a case bundle
    │   └── NotFoundError         an index, file or log that is not there
    ├── TamperError           evidence: keep the inputs, alarm, never retry            exit 3
    │   ├── InclusionError        a leaf is not in the tree that the checkpoint names
    │   ├── ConsistencyError      two signed trees do not extend one another: a fork
    │   ├── SignatureError        no good signature by a trusted key, or a bad one
    │   ├── RollbackError         the directory is older than something it once signed
    │   ├── DigestError           a committed file is not the bytes the manifest names
    │   ├── MissingFileError      a committed file is gone
    │   ├── LeafError             an entry does not hash to its leaf in the tree
    │   ├── ManifestError         a manifest that does not follow from the one before it
    │   ├── StreamError           a stream's seq has a hole, a repeat or no opening
    │   ├── ClockError            received_ns decreases within the log
    │   └── EventError            an event is not what its entry derives to
    ├── DurabilityError       a write is not known to be on disk: stop the writer      exit 74
    │   └── JournalDamageError    durable journal bytes that no longer read back
    ├── UnavailableError      a peer or the store is busy: retry with backoff          exit 75
    │   ├── WriterHeldError       another process already writes here
    │   ├── BusyError             every place for a request of this kind is taken
    │   └── BudgetError           a limit of time or memory was reached
    └── ConfigError           refuse to start                                          exit 78
        ├── LayoutError           a directory of another layout version, or none at all
        ├── KeyFileError          a private key that is missing, readable by others, or wrong
        └── ClockBehindError      the wall clock stands before the last sealed entry

The exit codes live in ``meshtrail.cli.exit_codes``; a test proves that map total over this tree.
A message names the object, what was wanted and what was got; the facts are attributes too.
"""

from __future__ import annotations


class MeshtrailError(Exception):
    """Every error that meshtrail raises on purpose."""

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def __getattr__(self, name: str) -> object:
        """Give each fact as an attribute: ``error.leaf_index``."""
        try:
            return self.__dict__["facts"][name]
        except KeyError:
            raise AttributeError(name) from None


class InputError(MeshtrailError):
    """Malformed bytes or a malformed request."""


class EntryFormatError(InputError):
    """Bytes that are not an entry of format version 1."""


class ProofSyntaxError(InputError):
    """A proof, tile, bundle or tile path that is not in its canonical form."""


class NoteSyntaxError(InputError):
    """A signed note, checkpoint or verifier key that is not in its canonical form."""


class ManifestSyntaxError(InputError):
    """A manifest that is not in its canonical form."""


class QueryError(InputError):
    """A query that cannot be planned."""


class RequestError(InputError):
    """An HTTP request that is refused before it is understood; ``http_status`` says how."""


class UnauthenticatedError(InputError):
    """A sender that does not show who it is; the message holds no secret."""


class BundleError(InputError):
    """A file that is neither a proof nor a case bundle."""


class NotFoundError(InputError):
    """An entry, file or log that was asked for and is not there."""


class TamperError(MeshtrailError):
    """The record is not what was signed. Keep the inputs, alarm, never retry."""


class InclusionError(TamperError):
    """A leaf is not in the tree that the checkpoint names."""


class ConsistencyError(TamperError):
    """Two signed trees do not extend one another: the log forked."""


class SignatureError(TamperError):
    """No good signature by a trusted key, or a bad signature in its name."""


class RollbackError(TamperError):
    """The directory is older than something that was once signed for it."""


class DigestError(TamperError):
    """A committed file is not the bytes that the manifest names."""


class MissingFileError(TamperError):
    """A committed file is gone."""


class LeafError(TamperError):
    """An entry does not hash to its leaf in the tree."""


class ManifestError(TamperError):
    """A manifest does not follow from the one before it, or does not cover the log."""


class StreamError(TamperError):
    """A stream's ``seq`` has a hole or a repeat, or the stream was never opened."""


class ClockError(TamperError):
    """``received_ns`` decreases within the log."""


class EventError(TamperError):
    """An event row is not what its entry derives to."""


class DurabilityError(MeshtrailError):
    """A write is not known to be on disk. Stop the writer; recovery is the normal start."""


class JournalDamageError(DurabilityError):
    """Journal bytes that were durable no longer read back."""


class UnavailableError(MeshtrailError):
    """A peer or the store is busy. Retry with backoff."""


class WriterHeldError(UnavailableError):
    """Another process already writes here."""


class BusyError(UnavailableError):
    """Every place for a request of this kind is taken, and so is every place to wait."""


class BudgetError(UnavailableError):
    """A limit of time or memory was reached before the answer was complete."""


class ConfigError(MeshtrailError):
    """The options do not make sense: refuse to start."""


class LayoutError(ConfigError):
    """A directory of another layout version, or no data directory at all."""


class KeyFileError(ConfigError):
    """A private key file that is missing, readable by others, or not the log's."""


class ClockBehindError(ConfigError):
    """The wall clock stands before the last sealed entry."""
