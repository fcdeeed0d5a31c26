"""Lines of access logs, as files and container runtimes keep them: records in, event columns out.

Each format has its columnar mapper and, in ``…_reference``, the plain one that it is held against.
Used by ``meshtrail.sources.mappings`` and ``meshtrail.sources.reference`` alone.
"""
