"""Forward auth: a proxy asks for each request whether it may pass, and as whom.

Knows ASGI and the verifier; no web framework, no database, no HTTP client: it is also served alone.
"""
