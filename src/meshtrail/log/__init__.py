"""Journals -> entries -> segment and tiles -> manifest -> checkpoint; recovery is the normal start.

One process writes a log. Readers never import this package.
"""
