"""What the log commits to and what is derived from it: the entry header and the event schema.

Bytes and columns in, bytes and columns out; no I/O. Anything above may import it.
"""
