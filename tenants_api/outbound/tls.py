"""TLS towards realms: who is trusted, and how a failed handshake reads. Knows no URL policy."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import certifi
import httpx

from tenants_api.outbound.errors import RealmFault

MAX_TRANSPORTS = 64  # trust stores kept ready: one for all realms, one more for each CA bundle in use
_WHOLE_STORE = 50  # authorities: a folder with fewer holds somebody's additions, and the file holds the rest


class Transports:
    """A ready transport for each trust store; the least recently used one makes room.

    A transport, not an `httpx.AsyncClient`: it has no cookie jar, follows nothing and knows neither `.netrc` nor a
    proxy of the environment, which would choose another target than the checked one.
    """

    def __init__(self) -> None:
        self._ready: dict[str, httpx.AsyncHTTPTransport] = {}

    def __len__(self) -> int:
        return len(self._ready)

    async def get(self, ca_bundle: str | None) -> httpx.AsyncHTTPTransport:
        """The transport that trusts the machine's authorities and those of the bundle.

        Raises:
            RealmFault: `TlsUntrusted`, the bundle is not PEM.
        """
        name = hashlib.sha256(ca_bundle.encode()).hexdigest() if ca_bundle is not None else ""
        transport = self._ready.pop(name, None)
        if transport is None:
            # In a thread: reading authorities can take tens of milliseconds, and every request would wait.
            transport = _transport(await asyncio.to_thread(_context, ca_bundle))
        self._ready[name] = transport
        while len(self._ready) > MAX_TRANSPORTS:
            # Nothing to close: no connection outlives its answer, and a running fetch keeps its own transport.
            self._ready.pop(next(iter(self._ready)))
        return transport

    async def aclose(self) -> None:
        for transport in self._ready.values():
            await transport.aclose()


def _transport(context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(verify=context, limits=httpx.Limits(max_connections=None))


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    _trust_this_machine(context)
    if ca_bundle is not None:
        try:
            context.load_verify_locations(cadata=ca_bundle)
        except (ssl.SSLError, ValueError, TypeError) as error:  # TypeError: not US-ASCII
            message = "ca_bundle is not a PEM bundle; give the CA's certificate as PEM text (BEGIN CERTIFICATE)"
            raise RealmFault("TlsUntrusted", message=message) from error
    return context


def _trust_this_machine(context: ssl.SSLContext) -> None:
    """The authorities that OpenSSL was built to find, else certifi's.

    Not `load_default_certs`: that follows SSL_CERT_FILE and SSL_CERT_DIR, and a stray variable would decide whom every
    realm's connection trusts.
    """
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    in_folder = len(list(folder.glob("*.0"))) if folder.is_dir() else 0
    if in_folder:
        context.load_verify_locations(capath=str(folder))
    # With names by hash OpenSSL reads the one authority that it needs; the file's hundreds cost 50 ms a context.
    if in_folder < _WHOLE_STORE:
        context.load_verify_locations(cafile=str(file) if file.is_file() else certifi.where())


def untrusted(error: BaseException, *, url: str) -> RealmFault | None:
    """The fault of a failed handshake; None for any other failure to connect."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return RealmFault(
                "TlsUntrusted",
                message=f"the certificate of {url} is not trusted ({cause.verify_message[:120]}); set ca_bundle to the "
                "PEM of the CA that issued it, or renew it for this host name",
            )
        if isinstance(cause, ssl.SSLError):
            return RealmFault(
                "TlsUntrusted",
                message=f"expected TLS 1.2 or later at {url}, the handshake failed; check the port and the server's "
                "TLS settings, and set ca_bundle if its CA is your own",
            )
        cause = cause.__cause__ or cause.__context__
    return None
