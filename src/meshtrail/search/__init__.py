"""Search: query text or SQL over the committed segments of one log; alone in knowing DuckDB.

In: a query, the published checkpoint and the manifest that it rests on. Out: rows of the event
schema, each with its ``log_index``, hence its proof. Reads, and never writes; does not check
digests, which is ``verify``'s part. Everything above may import it.
"""
