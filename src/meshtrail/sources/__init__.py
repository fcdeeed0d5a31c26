"""One module for each telemetry format: frame bytes -> records -> event columns.

Pure: no I/O, no clock. ``derive`` is the way in for everyone above: whole entries in, event rows
out.
"""
