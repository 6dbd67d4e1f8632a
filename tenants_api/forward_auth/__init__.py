"""Forward auth: a proxy asks for each request whether its token is accepted, and for the identity headers.

Depends on ASGI and the verifier only, not on the web framework, so that it can also be served standalone.
"""
