from __future__ import annotations

import pytest

from meshtrail.sources.delivery.repositories import read_ref, read_repository, read_revision

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHOP = "https://git.example/shop/checkout"


@pytest.mark.parametrize(
    "said",
    [
        SHOP,
        SHOP + ".git",
        SHOP + "/",
        "https://user:token@GIT.example/shop/checkout.git",
        "http://git.example/shop/checkout",
        "git@git.example:shop/checkout.git",
        "git.example:shop/checkout",
        "ssh://git@git.example/shop/checkout.git",
        "ssh://git@git.example:22/shop/checkout.git",
        "git://git.example/shop/checkout",
    ],
)
def test_repository_is_one_however_it_is_fetched(said: str) -> None:
    assert read_repository(said) == SHOP


@pytest.mark.parametrize(
    "said", ["oci://registry.example/charts", "file:///srv/shop.git", "/srv/shop", "checkout", ""]
)
def test_what_is_no_such_url_stays_as_it_is(said: str) -> None:
    assert read_repository(said) == said


def test_a_port_of_its_own_stays() -> None:
    assert read_repository("https://git.example:8443/a.git") == "https://git.example:8443/a"


@pytest.mark.parametrize(
    ("said", "revision"),
    [
        (COMMIT, (None, COMMIT)),
        (f"main@sha1:{COMMIT}", ("main", COMMIT)),
        (f"refs/heads/a/b@sha1:{COMMIT}", ("refs/heads/a/b", COMMIT)),
        (f"sha1:{COMMIT}", (None, COMMIT)),
        (f"main/{COMMIT}", ("main", COMMIT)),
        (f"feature/x/{COMMIT}", ("feature/x", COMMIT)),
        ("1.2.3", (None, None)),
        ("main@sha1:0123", ("main", None)),
        ("main/0123", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_revision_names_a_commit_and_where_it_was_found(
    said: str | None, revision: tuple[str | None, str | None]
) -> None:
    assert tuple(read_revision(said)) == revision


def test_ref_is_told_without_where_git_keeps_it() -> None:
    told = [read_ref(one) for one in ("refs/heads/main", "refs/tags/v1", "refs/pull/7/head", None)]
    assert told == ["main", "v1", "refs/pull/7/head", None]
