"""What a real Envoy tells of users: tokens that it verified, and of no other; headers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.resource.v1 import resource_pb2

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.jwt_payloads import SEVERAL_USERS
from tests.als_records import opened
from tests.e2e import wired_proxy as wired
from tests.e2e.logged_mesh import FRONTEND, PLACES, Row, different, events, running_world
from tests.e2e.signed_tokens import TokenIssuer, bearer, jwt_filter, optional, provider
from tests.e2e.wired_proxy import LOOPBACK, Caller, Config
from tests.otlp_records import cut_export
from tests.rig.envoy import Envoy
from tests.rig.otlp_receiver import running_otlp_receiver
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.e2e.logged_mesh import Record, World

ARRIVAL_S_MAX = 30.0
LOGIN, SERVICE = TokenIssuer("https://login.example"), TokenIssuer("https://service.example")
FORGER = TokenIssuer(LOGIN.name)
"""Names itself like the one that is trusted, and its key, too."""
SERVICE_HEADER = "x-service-token"
GOOD = LOGIN.sign("alice", email="alice@shop.example", groups=["a", "b"], n=1.5, nested={"sub": 1})
SENT: Mapping[str, tuple[int, dict[str, str]]] = {
    "/good": (200, bearer(GOOD)),
    "/expired": (200, bearer(LOGIN.sign("alice", lasts_s=-3_600))),
    "/missing": (200, {}),
    "/forged": (200, bearer(FORGER.sign("alice"))),
    "/unsigned": (200, bearer(LOGIN.unsigned("alice"))),
    "/garbage": (200, bearer("a.b.c")),
    "/nobody": (200, bearer(LOGIN.sign(None))),
    "/odd": (200, bearer(LOGIN.sign('a"b\\\u00fc\u2028{}'))),
    "/header": (200, {"x-user-id": "bob"}),
    "/both": (200, {**bearer(GOOD), "x-user-id": "mallory"}),
    "/forged-and-header": (200, {**bearer(FORGER.sign("alice")), "x-forwarded-user": "bob"}),
    "/two": (200, {**bearer(GOOD), SERVICE_HEADER: SERVICE.sign("cron")}),
    "/strict/good": (200, bearer(GOOD)),
    "/strict/expired": (401, bearer(LOGIN.sign("alice", lasts_s=-3_600))),
    "/strict/forged": (401, bearer(FORGER.sign("alice"))),
    "/all/half": (401, bearer(GOOD)),
    "/denied": (403, bearer(GOOD)),
}
TWICE = "/twice"
USER_COLUMNS = ("user_id", "user_id_trust", "user_issuer", "decode_error")

User = tuple[str | None, ...]


def proxy(world: World, otlp_port: int) -> Config:
    """A proxy that verifies tokens, and logs to both doors as is printed for each."""
    [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{world.als_port}")
    [of_otlp] = wired.emit("envoy", "--otlp", "--address", f"{LOOPBACK}:{otlp_port}")
    [otlp_cluster] = of_otlp["clusters"]
    otlp_cluster["name"] = otlp_cluster["load_assignment"]["cluster_name"] = "otlp"
    for place in PLACES:
        for log in of_otlp[place]["access_log"]:
            log["typed_config"]["grpc_service"] = {"envoy_grpc": {"cluster_name": "otlp"}}
    http = pieces["http_connection_manager"]
    http["access_log"] += of_otlp["http_connection_manager"]["access_log"]
    manager = wired.http_manager(
        added=http,
        routes=[wired.answer("/denied", 403), wired.answer("/", 200)],
        first=[verifier()],
    )
    tls = wired.downstream_tls(world.authority, world.payments)
    return wired.bootstrap(
        listeners=[wired.listener("inbound", [manager], added={}, tls=tls)],
        clusters=[*pieces["clusters"], otlp_cluster],
    )


def verifier() -> Config:
    """Tokens of two issuers, and beside each payload what else the filter can tell."""
    login = provider(LOGIN, key="user") | {"header_in_metadata": "a_head"}
    login |= {"failed_status_in_metadata": "a_failure"}
    service = provider(SERVICE, key="zz_service", header=SERVICE_HEADER)
    both = {"requires_all": {"requirements": [optional("login"), optional("service")]}}
    every = {"requires_all": {"requirements": [{"provider_name": "login"}, SERVICE_NEEDED]}}
    rules: list[Config] = [
        {"match": {"prefix": "/strict"}, "requires": {"provider_name": "login"}},
        {"match": {"prefix": "/all"}, "requires": every},
        {"match": {"prefix": "/"}, "requires": both},
    ]
    return jwt_filter({"login": login, "service": service}, rules)


SERVICE_NEEDED = {"provider_name": "service"}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], list[Record]]:
    """What came of everything that was sent: by the access log service, and by OTLP."""
    exported: list[tuple[bytes, bytes]] = []
    lock = threading.Lock()

    def take(data: bytes) -> None:
        with lock:
            exported.extend(cut_export(data))

    with (
        running_world(tmp_path_factory.mktemp("users")) as world,
        running_otlp_receiver(take) as port,
    ):
        with Envoy("users", proxy(world, port), directory=world.directory) as envoy:
            caller = Caller(world.authority.client_context(world.frontend))
            for path, (status, headers) in SENT.items():
                assert caller.get(envoy.ports()["inbound"], path, headers) == status, path
            send_header_twice(caller, envoy.ports()["inbound"])
            wait_until(
                lambda: min(len(world.received.als), len(exported)) > len(SENT),
                "the records of both kinds have come",
                seconds_max=ARRIVAL_S_MAX,
            )
        names = [resource_pb2.Resource.FromString(resource) for resource, _ in exported]
        said = [{one.key: one.value.string_value for one in name.attributes} for name in names]
        otlp = [
            (one["log_name"], PayloadFormat.OTLP_LOG, payload)
            for one, (_, payload) in zip(said, exported, strict=True)
        ]
        return world.received.als, otlp


def send_header_twice(caller: Caller, port: int) -> None:
    """A request whose header comes twice, which no client library sends."""
    head = f"GET {TWICE} HTTP/1.1\r\nhost: x\r\nx-user-id: bob\r\nx-user-id: eve\r\n"
    with caller.connected(port) as stream:
        stream.sendall(f"{head}connection: close\r\n\r\n".encode())
        while stream.recv(4096):
            pass


def by_path(found: list[Record], sender: bytes | None = None) -> dict[str, Row]:
    return {row["url_path"]: row for row in events(found, sender).values()}


@pytest.fixture(scope="module")
def rows(records: tuple[list[Record], list[Record]]) -> dict[str, Row]:
    """The event of each request, which is the same of both kinds of record."""
    als, otlp = map(by_path, records)
    assert als.keys() == otlp.keys() == {*SENT, TWICE}
    unequal = {path: different(als[path], row) for path, row in otlp.items()}
    assert {path: names for path, names in unequal.items() if names} == {TWICE: {"user_id"}}
    return als


def user(row: Row) -> User:
    return tuple(row.get(name) for name in USER_COLUMNS)


NOBODY: User = (None, None, None, None)
ALICE: User = ("alice", "attested", LOGIN.name, None)


@pytest.mark.parametrize("path", ["/good", "/both", "/strict/good", "/denied"])
def test_verified_token_names_its_user(rows: dict[str, Row], path: str) -> None:
    assert user(rows[path]) == ALICE


@pytest.mark.parametrize(
    "path",
    [
        *("/expired", "/missing", "/forged", "/unsigned", "/garbage", "/nobody"),
        *("/strict/expired", "/strict/forged"),
    ],
)
def test_envoy_tells_nothing_of_a_token_that_it_did_not_verify(
    rows: dict[str, Row], path: str
) -> None:
    assert user(rows[path]) == NOBODY


def test_refused_token_is_a_denial_without_a_user(rows: dict[str, Row]) -> None:
    row = rows["/strict/expired"]
    assert (row["decision"], row["http_response_status_code"]) == ("denied", 401)
    assert row["decision_reason"].startswith("jwt_authn: ")


def test_token_that_was_verified_names_its_user_also_where_another_was_missing(
    rows: dict[str, Row],
) -> None:
    assert rows["/all/half"]["decision"] == "denied"
    assert user(rows["/all/half"]) == ALICE


@pytest.mark.parametrize("path", ["/header", "/forged-and-header"])
def test_user_of_a_header_is_asserted(rows: dict[str, Row], path: str) -> None:
    assert user(rows[path]) == ("bob", "asserted", None, None)


def test_header_that_comes_twice_is_joined_in_one_and_cut_in_the_other(
    records: tuple[list[Record], list[Record]],
) -> None:
    als, otlp = map(by_path, records)
    assert (als[TWICE]["user_id"], otlp[TWICE]["user_id"]) == ("bob,eve", "bob")


def test_two_tokens_of_different_users_are_a_problem_that_is_said(rows: dict[str, Row]) -> None:
    assert user(rows["/two"]) == ("alice", "attested", LOGIN.name, SEVERAL_USERS)


def test_name_of_any_characters_comes_as_it_was_signed(rows: dict[str, Row]) -> None:
    assert rows["/odd"]["user_id"] == 'a"b\\\u00fc\u2028{}'


@pytest.mark.parametrize(
    "sender", [opened(None, auth="none"), opened(None, auth="token"), opened(FRONTEND)]
)
def test_user_is_only_reported_without_the_certificate_of_that_proxy(
    records: tuple[list[Record], list[Record]], sender: bytes
) -> None:
    for found in records:
        rows = by_path(found, sender)
        assert user(rows["/good"]) == ("alice", "reported", LOGIN.name, None)
        assert user(rows["/header"]) == ("bob", "asserted", None, None)


def test_no_token_is_in_any_record(records: tuple[list[Record], list[Record]]) -> None:
    secrets: list[Any] = [header for _, said in SENT.values() for header in said.values()]
    tokens = [one.removeprefix("Bearer ") for one in secrets if "." in one]
    signatures = [token.rpartition(".")[2] for token in tokens if not token.endswith(".")]
    assert len(signatures) > len(SENT) // 2
    for _, _, payload in [*records[0], *records[1]]:
        assert not [one for one in signatures if len(one) > 1 and one.encode() in payload]


def test_claims_are_in_the_entry_whole(records: tuple[list[Record], list[Record]]) -> None:
    assert all(b"alice@shop.example" in b"".join(p for _, _, p in found) for found in records)
