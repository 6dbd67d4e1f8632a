"""TLS of connections to realms: trusted authorities, and faults of a handshake. Knows no URL policy."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path

import certifi
import httpx

from tenants_api.outbound.errors import RealmFault

MAX_TRANSPORTS = 64  # one for all realms, one more for each CA bundle in use
_COMPLETE_STORE_AUTHORITIES = 50  # a folder with fewer holds only additions to the file


class Transports:
    """A transport for each trust store; evicts the least recently used one."""

    # Transports, not an `httpx.AsyncClient`: they have no cookie jar, follow no redirects, and use neither `.netrc` nor
    # a proxy of the environment, which would choose another target than the checked one.

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
            # In a thread: reading authorities can take tens of milliseconds, which would delay every request.
            transport = _transport(await asyncio.to_thread(_context, ca_bundle))
        self._ready[name] = transport
        while len(self._ready) > MAX_TRANSPORTS:
            # Nothing to close: no connection outlives its response, and a running fetch holds its own transport.
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
    """Load the authorities of OpenSSL's compiled-in paths, else certifi's."""
    # Not `load_default_certs`: it reads SSL_CERT_FILE and SSL_CERT_DIR, and a stray variable would choose the trusted
    # authorities of every realm.
    paths = ssl.get_default_verify_paths()
    file, folder = Path(paths.openssl_cafile), Path(paths.openssl_capath)
    in_folder = len(list(folder.glob("*.0"))) if folder.is_dir() else 0
    if in_folder:
        context.load_verify_locations(capath=str(folder))
    # From a folder with names by hash OpenSSL reads the one authority that it needs; the whole file takes 50 ms.
    if in_folder < _COMPLETE_STORE_AUTHORITIES:
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
