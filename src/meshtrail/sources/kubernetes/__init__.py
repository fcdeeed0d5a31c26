"""What Kubernetes says: objects of its API, and its audit log.

Bytes of records come in, event columns go out. Of meshtrail only ``sources`` imports it.
"""
