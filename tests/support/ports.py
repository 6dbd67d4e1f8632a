"""A port for a server that a test starts."""

from __future__ import annotations

import secrets
import socket

# Below those that Linux and macOS give to outgoing connections and to port 0, of which there are many at any moment:
# one of these is taken between the look and the start of the server only by another test that drew the same.
FIRST, LAST = 12_000, 32_000


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    while True:
        port = FIRST + secrets.randbelow(LAST - FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
