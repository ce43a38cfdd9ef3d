import pytest

from shakedown.diagnostics import redact

TOKEN = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl"  # noqa: S105 - of no use to anybody


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token is {TOKEN} here", TOKEN),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("DB_PASSWORD=hunter2 next", "hunter2"),
        ('{"apiKey": "k-123456", "a": 1}', "k-123456"),
        ("http://user:letmein@host/path", "letmein"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
    ],
)
def test_secrets_do_not_get_into_diagnostics(text: str, secret: str) -> None:
    kept = redact(text)
    assert secret not in kept
    assert "[redacted]" in kept


def test_what_is_no_secret_stays_as_it_is() -> None:
    text = "Pod tensorflow-serving-5d8 Pending: 0/3 nodes are available: insufficient memory"
    assert redact(text) == text
