"""The only code that touches the disk: durable writes, the layout of DATA, what lies in it.

Checkpoints, manifests, segments, tiles and blobs, as docs/formats describes them. Does not
interpret events. ``log`` writes through it; ``verify`` and ``search`` use its readers.
"""
