"""The command line: one module for each command, with its options and its printing, no logic.

In: arguments. Out: text or JSON on standard output, errors and progress on standard error, an exit
status. Nothing heavy is imported before a command runs: help answers within 0.2 s.
"""
