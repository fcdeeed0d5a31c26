"""What was written and delivered: commits out of ``git log`` and webhooks, revisions, images.

Bytes of records come in, event columns go out. Of meshtrail only ``sources`` imports it.
"""
