"""Real Envoys for tests and benchmarks: certificates, configurations, processes, load.

Nothing of meshtrail comes in; running Envoys that report to a collector come out. For tests/e2e and
bench only.
"""
