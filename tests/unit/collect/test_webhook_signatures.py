from __future__ import annotations

import pytest

from meshtrail.collect.webhook_signatures import check_github_signature, check_gitlab_token
from meshtrail.errors import UnauthenticatedError

# The example of GitHub's documentation, "Validating webhook deliveries".
SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
SIGNATURE = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_githubs_own_example_is_good() -> None:
    check_github_signature(SECRET, BODY, SIGNATURE)


@pytest.mark.parametrize("position", range(len(SIGNATURE)))
def test_a_signature_with_any_character_changed_is_refused(position: int) -> None:
    other = "0" if SIGNATURE[position] != "0" else "1"
    changed = SIGNATURE[:position] + other + SIGNATURE[position + 1 :]
    with pytest.raises(UnauthenticatedError):
        check_github_signature(SECRET, BODY, changed)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "sha256=",
        SIGNATURE.upper(),
        SIGNATURE + "\n",
        f"{SIGNATURE},{SIGNATURE}",
        SIGNATURE.removeprefix("sha256="),
        SIGNATURE.replace("sha256", "sha1"),
        "sha256=" + "٠" * 64,
    ],
)
def test_a_signature_in_another_form_is_refused(header: str | None) -> None:
    with pytest.raises(UnauthenticatedError):
        check_github_signature(SECRET, BODY, header)


def test_a_signature_of_another_body_or_secret_is_refused() -> None:
    with pytest.raises(UnauthenticatedError):
        check_github_signature(SECRET, BODY + b"\n", SIGNATURE)
    with pytest.raises(UnauthenticatedError):
        check_github_signature(SECRET + b" ", BODY, SIGNATURE)


def test_gitlabs_token_is_the_secret_itself() -> None:
    check_gitlab_token(b"glws-1234", "glws-1234")
    # A header is decoded byte for byte, whatever it was meant as.
    check_gitlab_token("schlüssel".encode(), "schlüssel".encode().decode("latin-1"))


@pytest.mark.parametrize(
    "header", [None, "", "glws-123", "glws-12345", "GLWS-1234", "glws-1234 ", "€"]
)
def test_any_other_gitlab_token_is_refused(header: str | None) -> None:
    with pytest.raises(UnauthenticatedError):
        check_gitlab_token(b"glws-1234", header)


@pytest.mark.parametrize("header", [None, "sha256=" + "0" * 64, "wrong"])
def test_a_refusal_repeats_neither_secret_nor_signature(header: str | None) -> None:
    with pytest.raises(UnauthenticatedError) as of_github:
        check_github_signature(b"hush", b"body", header)
    with pytest.raises(UnauthenticatedError) as of_gitlab:
        check_gitlab_token(b"hush", header)
    for message in (of_github.value.message, of_gitlab.value.message):
        assert "hush" not in message
        assert header is None or header not in message
