from __future__ import annotations

import re

from meshtrail.model.users import JWT_FILTER, USER_HEADERS

SECRETS = re.compile(r"authorization|cookie|token|key|secret|password|jwt|assertion")


def test_no_header_that_names_a_user_can_be_a_secret() -> None:
    assert not [name for name in USER_HEADERS if SECRETS.search(name)]


def test_headers_are_written_as_envoy_logs_them() -> None:
    assert all(re.fullmatch("[a-z-]+", name) for name in USER_HEADERS)
    assert len(set(USER_HEADERS)) == len(USER_HEADERS)


def test_filter_is_that_of_the_published_configuration() -> None:
    assert JWT_FILTER == "envoy.filters.http.jwt_authn"
