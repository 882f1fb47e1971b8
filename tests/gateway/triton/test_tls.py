"""TLS and mutual TLS to a real Triton, and what is said when the certificates are not right."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import trustme

from contract.endpoint import parse_endpoint
from gateway.command_line import parse_settings
from gateway.errors import StartError, TritonUnavailableError
from gateway.triton.connection import TritonConnection
from gateway.triton.credentials import TlsFiles
from tests.gateway.triton.opened_model import opened_model
from tests.patience import WITHIN_S
from tests.stand_ins.timed_triton import TimedTriton, running_triton


@dataclass(frozen=True)
class Certificates:
    """PEM files of one authority: its own, and a certificate with its key."""

    authority: Path
    certificate: Path
    key: Path

    def as_client(self) -> TlsFiles:
        return TlsFiles(self.authority, self.certificate, self.key)


def certificates(folder: Path, *names: str) -> Certificates:
    """Certificates for these names and addresses, by an authority of their own."""
    folder.mkdir()
    authority = trustme.CA()
    issued = authority.issue_cert(*names)
    files = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(files.authority)
    issued.cert_chain_pems[0].write_to_path(files.certificate)
    issued.private_key_pem.write_to_path(files.key)
    return files


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls") / "trusted", "127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls") / "strange", "127.0.0.1")


def flags(files: Certificates, *, mutual: bool) -> list[str]:
    return [
        "--grpc-use-ssl=true",
        f"--grpc-server-cert={files.certificate}",
        f"--grpc-server-key={files.key}",
        f"--grpc-root-cert={files.authority}",
        f"--grpc-use-ssl-mutual={str(mutual).lower()}",
    ]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def triton(
    tmp_path_factory: pytest.TempPathFactory, trusted: Certificates
) -> AsyncIterator[TimedTriton]:
    """A Triton that speaks TLS."""
    folder = tmp_path_factory.mktemp("triton")
    async with running_triton(TimedTriton(folder, instances=1, flags=flags(trusted, mutual=False))) as triton:
        yield triton


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mutual_triton(
    tmp_path_factory: pytest.TempPathFactory, trusted: Certificates
) -> AsyncIterator[TimedTriton]:
    """A Triton that also asks for the gateway's certificate."""
    folder = tmp_path_factory.mktemp("triton")
    async with running_triton(TimedTriton(folder, instances=1, flags=flags(trusted, mutual=True))) as triton:
        yield triton


async def horizon(*endpoints: str, tls: TlsFiles | None) -> int:
    """The horizon that a Triton tells; raises what the gateway's clients would be told."""
    async with opened_model(*endpoints, tls=tls) as model:
        return (await model.fresh_facts()).horizon


async def test_tls_with_an_authority(triton: TimedTriton, trusted: Certificates) -> None:
    assert await horizon(triton.endpoint, tls=TlsFiles(trusted.authority)) == 18


async def test_an_authority_that_did_not_sign_it(triton: TimedTriton, strange: Certificates) -> None:
    with pytest.raises(TritonUnavailableError, match=r"is not trusted .* --triton-tls-ca"):
        await horizon(triton.endpoint, tls=TlsFiles(strange.authority))


async def test_the_system_s_authorities_do_not_trust_it(triton: TimedTriton) -> None:
    with pytest.raises(TritonUnavailableError, match=r"is not trusted .* --triton-tls-ca"):
        await horizon(triton.endpoint, tls=TlsFiles())


async def test_a_triton_with_tls_and_a_gateway_without(triton: TimedTriton) -> None:
    with pytest.raises(TritonUnavailableError, match="is unavailable"):
        await horizon(triton.endpoint, tls=None)


async def test_a_gateway_with_tls_and_a_triton_without(
    timed_triton: TimedTriton, trusted: Certificates
) -> None:
    with pytest.raises(TritonUnavailableError, match="check --triton-tls"):
        await horizon(timed_triton.endpoint, tls=TlsFiles(trusted.authority))


async def test_mutual_tls(mutual_triton: TimedTriton, trusted: Certificates) -> None:
    assert await horizon(mutual_triton.endpoint, tls=trusted.as_client()) == 18


async def test_mutual_tls_without_a_certificate(mutual_triton: TimedTriton, trusted: Certificates) -> None:
    with pytest.raises(TritonUnavailableError):
        await horizon(mutual_triton.endpoint, tls=TlsFiles(trusted.authority))


async def test_mutual_tls_with_a_certificate_of_somebody_else(
    mutual_triton: TimedTriton, trusted: Certificates, strange: Certificates
) -> None:
    with pytest.raises(TritonUnavailableError):
        await horizon(
            mutual_triton.endpoint, tls=TlsFiles(trusted.authority, strange.certificate, strange.key)
        )


async def test_several_tritons_share_the_name_of_the_first(
    triton: TimedTriton, trusted: Certificates
) -> None:
    port = triton.endpoint.rpartition(":")[2]
    endpoints = (f"localhost:{port}", triton.endpoint)
    assert await horizon(*endpoints, tls=TlsFiles(trusted.authority)) == 18


async def test_the_certificate_has_to_be_for_the_name_and_not_for_its_address(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    named = certificates(tmp_path_factory.mktemp("tls") / "named", "localhost")
    folder = tmp_path_factory.mktemp("triton")
    async with running_triton(TimedTriton(folder, instances=1, flags=flags(named, mutual=False))) as triton:
        assert await horizon(f"localhost:{triton.port}", tls=TlsFiles(named.authority)) == 18
        with pytest.raises(TritonUnavailableError, match="is not trusted"):
            await horizon(triton.endpoint, tls=TlsFiles(named.authority))


async def test_each_endpoint_s_life_is_seen_through_tls(triton: TimedTriton, trusted: Certificates) -> None:
    connection = TritonConnection(parse_endpoint(triton.endpoint), tls=TlsFiles(trusted.authority))
    await connection.start()
    try:
        async with asyncio.timeout(WITHIN_S):
            while connection.endpoints_up() != {(triton.endpoint, triton.endpoint): True}:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


def test_settings_become_files(trusted: Certificates, strange: Certificates) -> None:
    words = ["--triton-tls", f"--triton-tls-ca={trusted.authority}", f"--triton-tls-key={strange.key}"]
    words.append(f"--triton-tls-cert={trusted.certificate}")
    with pytest.raises(StartError, match="not the key of the certificate"):
        TritonConnection.from_settings(parse_settings(words))


@pytest.mark.parametrize("flag", ["--triton-tls-ca", "--triton-tls-cert", "--triton-tls-key"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no PEM",
        b"\xff\x00",
        b"-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n",
    ],
    ids=["empty", "text", "binary", "no certificate"],
)
def test_a_file_that_is_no_pem_is_one_sentence(
    flag: str, content: bytes, trusted: Certificates, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(content)
    files = {
        "--triton-tls-ca": trusted.authority,
        "--triton-tls-cert": trusted.certificate,
        "--triton-tls-key": trusted.key,
        flag: wrong,
    }
    settings = parse_settings(["--triton-tls", *(f"{name}={path}" for name, path in files.items())])
    with pytest.raises(StartError, match=flag) as caught:
        TritonConnection.from_settings(settings)
    assert str(wrong) in str(caught.value)
    assert "\n" not in str(caught.value)
