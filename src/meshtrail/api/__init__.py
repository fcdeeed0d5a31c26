"""HTTP: what a log says of itself, its tiles, searches and live tails, for programs.

In: requests from this machine, and the files of one data directory. Out: answers, never a write;
the process gives up its right to write files before its first request. Handlers are thin: what they
show is made in ``app``, ``search`` and ``store``. A face like ``cli``; nothing imports it, and the
supervisor starts it by its module name.
"""
