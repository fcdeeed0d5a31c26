"""``meshtrail demo``: a small mesh of real Envoys, a staged breach, and a tour through its record.

A directory comes in; a log of real traffic comes out, and whether the tour showed what it claims.
For ``cli``; nothing that records, searches or verifies may import it. Tests and benchmarks build
meshes of their own from its authority, its Envoy configuration and its Envoy.
"""
