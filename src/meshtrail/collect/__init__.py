"""The front doors: who sent what and when, made durable in a journal. Framing only, no decoding.

In: streams of Envoy's access log service over gRPC, and exports of OTLP over gRPC and HTTP, from
senders that a certificate or a token authenticates when it is configured. Out: the journal
``collect``, with stream and seq of every entry to be. Uses ``journal``, ``sources`` and ``http``,
knows nothing of the log; ``app`` runs it in a process of its own, and writes the tokens file.
"""

from meshtrail.collect.collector import Listening, run_collect
from meshtrail.collect.diag import Diag
from meshtrail.collect.options import CollectOptions
from meshtrail.collect.sender_refusals import SenderRefusals

__all__ = ["CollectOptions", "Diag", "Listening", "SenderRefusals", "run_collect"]
