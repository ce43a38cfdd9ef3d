"""The test bed's certificates are what they are called: a handshake in memory takes or refuses each."""

import ssl
from pathlib import Path

import pytest

from fixtures.certificates import Authority, Certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls") / "ca", "own")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made(tmp_path_factory.mktemp("tls") / "ca", "another")


def shake_hands(
    authority: Authority, host: str, trusted: Path, shown: Certificate | None, *, expired: bool = False
) -> None:
    """A TLS 1.2 handshake between a door of `authority` and a client. Raises ssl.SSLError for whoever refuses."""
    door = authority.issue("door", "digits.test", expired=expired)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(door.crt, door.key)
    server.load_verify_locations(authority.crt)
    server.verify_mode, server.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    client = ssl.create_default_context(cafile=str(trusted))
    if shown:
        client.load_cert_chain(shown.crt, shown.key)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(down, up, server_hostname=host), server.wrap_bio(up, down, server_side=True)]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
                sides.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not sides, "the two never came to terms"


def test_a_client_of_the_authority_comes_in(authority: Authority) -> None:
    shake_hands(authority, "digits.test", authority.crt, authority.issue("client"))


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLError, match="expired"):
        shake_hands(authority, "digits.test", authority.crt, authority.issue("late", expired=True))


def test_a_stranger_and_who_shows_nothing_are_refused(authority: Authority, stranger: Authority) -> None:
    with pytest.raises(ssl.SSLError, match="verify failed"):
        shake_hands(authority, "digits.test", authority.crt, stranger.issue("client"))
    with pytest.raises(ssl.SSLError, match="did not return a certificate"):
        shake_hands(authority, "digits.test", authority.crt, None)


def test_a_door_of_another_host_or_authority_is_refused(authority: Authority, stranger: Authority) -> None:
    client = authority.issue("client")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(authority, "other.test", authority.crt, client)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        shake_hands(authority, "digits.test", stranger.crt, client)


def test_a_door_whose_certificate_has_expired_is_refused(authority: Authority) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        shake_hands(authority, "digits.test", authority.crt, authority.issue("client"), expired=True)
