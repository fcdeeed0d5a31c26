"""Hubble, the eyes of Cilium: lines of its exporter in, event columns out.

Used by ``meshtrail.sources.mappings`` and ``meshtrail.sources.reference`` alone.
"""
