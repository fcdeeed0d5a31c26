"""Long campaigns of hostile input: seeded mutators, workers that may die, and who watches them.

``bench/mutations.py`` runs the long form, ``tests/faults/test_mutations.py`` a short one.
"""
