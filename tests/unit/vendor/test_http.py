"""Why there is no connection, told apart; and a host that stays at the address it was checked at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from penstock.base.errors import UnavailableError
from penstock.vendor.http import Http


@asynccontextmanager
async def server(context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve `ok` on loopback; gives the port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    serving = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with serving:
        yield serving.sockets[0].getsockname()[1]


def own_certificate(folder: Path) -> ssl.SSLContext:
    """Make a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(encoded)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def fault(url: str) -> UnavailableError:
    http = Http()
    try:
        with pytest.raises(UnavailableError) as caught:
            await http.send("GET", url, headers={}, timeout=10)
    finally:
        await http.close()
    assert caught.value.hint
    assert caught.value.sent == (caught.value.code == "http.broken")
    return caught.value


async def test_a_certificate_that_is_not_trusted_is_named_as_such(tmp_path: Path) -> None:
    async with server(own_certificate(tmp_path)) as port:
        error = await fault(f"https://localhost:{port}/")
    assert error.code == "http.tls"
    assert "certificate" in error.message


async def test_a_port_where_nobody_answers_is_no_connection() -> None:
    async with server() as port:
        pass
    assert (await fault(f"http://127.0.0.1:{port}/")).code == "http.no-connection"


async def test_a_line_that_is_cut_after_the_request_left_may_have_been_billed() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(50)
        writer.transport.abort()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        error = await fault(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert error.code == "http.broken"


async def test_a_pinned_host_is_reached_at_its_address_whatever_the_name_service_says() -> None:
    async with server() as port:
        http = Http(pins={"pinned.example": "127.0.0.1"})
        reply = await http.send("GET", f"http://pinned.example:{port}/v1", headers={}, timeout=10)
        await http.close()
    assert (reply.status, reply.body, reply.host) == (200, b"ok", "pinned.example")
