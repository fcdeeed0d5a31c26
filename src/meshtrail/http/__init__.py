"""What listens for HTTP: sockets, and a server of bounded connections that is stopped by us alone.

In: an address and an ASGI application, which is the business of whoever serves it. ``api`` answers
questions with it, ``collect`` takes records. Knows neither.
"""
