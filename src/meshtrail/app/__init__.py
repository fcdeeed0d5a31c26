"""The one place that builds the objects: data directory, keys, clock, diagnostics, processes.

In: a ``Configuration`` and a data directory. Out: the running processes of ``meshtrail up``, each
of which can be killed at any instant and started again. Used by the faces alone.
"""
