"""What the benchmarks share: recorded frames, the sender, process figures, the one-thread floor.

The commands are the files of bench/ itself; nothing here prints.
"""
