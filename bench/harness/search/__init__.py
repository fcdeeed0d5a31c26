"""The search benchmark: questions drawn from a log, exact answers, and engines that are asked.

``reference`` knows the answers by brute force over columns that were read once; ``draw`` makes the
questions; each engine answers in its own way; ``runs`` takes the time and holds every answer
against the reference. Only bench/search.py imports from here.
"""
