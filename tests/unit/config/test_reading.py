from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from meshtrail.collect.tail import TailOptions
from meshtrail.config import make_configuration, read_tables
from meshtrail.config.configuration import Configuration
from meshtrail.errors import ConfigError

FOLDER = Path("/etc/meshtrail")


def make(tables: dict[str, Any] | None = None, **overrides: object) -> Configuration:
    named = {name.replace("__", "."): value for name, value in overrides.items()}
    return make_configuration(tables or {}, overrides=named, folder=FOLDER)


def test_without_a_file_every_option_has_its_default() -> None:
    assert make() == Configuration()


def test_a_file_sets_options_of_every_section(tmp_path: Path) -> None:
    path = tmp_path / "meshtrail.toml"
    path.write_text(
        '[log]\nmesh = "prod"\ncluster = "eu-1"\n'
        '[collect]\ngrpc = "127.0.0.1:5000"\n'
        "[journal]\nlinger_ms = 5\n"
        '[seal]\ntick_ms = 100\nlock_record = "heads"\n'
        '[keys]\nfile = "/secure/log.key"\n',
        encoding="utf-8",
    )
    configuration = make_configuration(read_tables(path), overrides={}, folder=FOLDER)
    assert (configuration.log.mesh, configuration.log.cluster) == ("prod", "eu-1")
    assert configuration.collect.grpc == "127.0.0.1:5000"
    assert configuration.journal.linger_ms == 5
    assert configuration.seal.tick_ms == 100
    assert configuration.keys.file == Path("/secure/log.key")
    # Relative to the file, not to wherever the program was started.
    assert configuration.seal.lock_record == FOLDER / "heads"


def test_the_command_line_wins_over_the_file_and_nothing_said_leaves_it() -> None:
    tables = {"log": {"mesh": "file", "cluster": "file"}}
    configuration = make(tables, log__mesh="flag", log__cluster=None, seal__tick_ms=50)
    assert configuration.log.mesh == "flag"
    assert configuration.log.cluster == "file"
    assert configuration.seal.tick_ms == 50
    assert tables == {"log": {"mesh": "file", "cluster": "file"}}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"seal": {"tick_mss": 5}}, "no option seal.tick_mss: did you mean tick_ms"),
        ({"sael": {}}, "no option sael: did you mean seal"),
        ({"zzz": {}}, "no option zzz: known are collect, journal, keys, ledger, log, seal"),
        ({"seal": 5}, "seal is a section"),
        ({"collect": {"tail": {"path": "/a"}}}, "write it as [[collect.tail]]"),
        ({"collect": {"tail": [{"path": "/a"}]}}, "collect.tail needs format"),
        ({"collect": {"tail": [{}]}}, "collect.tail needs format and path"),
        ({"collect": {"tail": [7]}}, "collect.tail is a section"),
        (
            {"collect": {"tail": [{"path": "/a", "format": "hubble", "reportr": "x"}]}},
            "there is no option collect.tail.reportr: did you mean reporter?",
        ),
        ({"collect": {"tail": [{"path": 7, "format": "hubble"}]}}, "collect.tail.path: expected"),
        ({"collect": {"tail": [{"path": "/a", "format": "x"}]}}, "there is no format 'x'"),
        ({"collect": {"tail_files_max": 0}}, "collect.tail_files_max must be at least 1"),
        ({"seal": {"tick_ms": "5"}}, "seal.tick_ms: expected `int`, got `str`"),
        ({"seal": {"tick_ms": 5.0}}, "seal.tick_ms: expected `int`"),
        ({"seal": {"tick_ms": 0}}, "tick_ms is 0"),
        ({"seal": {"is_clock_accepted": "yes"}}, "seal.is_clock_accepted: expected `bool`"),
        ({"seal": {"lock_record": 7}}, "seal.lock_record: expected a path"),
        ({"log": {"mesh": "Prod"}}, "log.mesh is 'Prod'"),
        ({"log": {"cluster": "a/b"}}, "log.cluster is 'a/b'"),
        ({"log": {"mesh": ""}}, "log.mesh is ''"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_key(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(tables)
    assert said in caught.value.message


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "meshtrail.toml"
    with pytest.raises(ConfigError, match=r"meshtrail\.toml: No such file"):
        read_tables(path)
    path.write_text("[log\n")
    with pytest.raises(ConfigError, match="is not TOML"):
        read_tables(path)
    path.write_bytes(b'a = "\xff"\n')
    with pytest.raises(ConfigError, match="is not TOML"):
        read_tables(path)


def test_every_section_is_one_stage_with_options_that_all_have_defaults() -> None:
    assert [field.name for field in fields(Configuration)] == [
        "log", "collect", "journal", "seal", "ledger", "serve", "keys",
    ]  # fmt: skip


def test_senders_are_told_apart_by_file_and_command_line_alike(tmp_path: Path) -> None:
    path = tmp_path / "meshtrail.toml"
    path.write_text('[collect]\ntokens = "senders"\nxfcc_from = ["10.0.0.7", "fd00::/8"]\n')
    tables = read_tables(path)
    read = make_configuration(tables, overrides={}, folder=tmp_path).collect
    assert (read.tokens, read.xfcc_from) == (tmp_path / "senders", ("10.0.0.7", "fd00::/8"))
    given = make_configuration(
        tables, overrides={"collect.xfcc_from": ["127.0.0.6"]}, folder=tmp_path
    ).collect
    assert (given.tokens, given.xfcc_from) == (tmp_path / "senders", ("127.0.0.6",))


def test_secrets_of_webhooks_are_a_section_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "options.toml"
    path.write_text('[collect.webhooks]\ngithub_secret_file = "github"\n')
    read = make_configuration(
        read_tables(path), overrides={"collect.otlp_http": "off"}, folder=tmp_path
    ).collect
    assert read.webhooks.github_secret_file == tmp_path / "github"
    assert read.webhooks.gitlab_secret_file is None
    with pytest.raises(
        ConfigError, match=r"collect\.webhooks\.github: known are github_secret_file"
    ):
        make_configuration(
            {"collect": {"webhooks": {"github": "x"}}}, overrides={}, folder=tmp_path
        )


def test_files_to_read_are_tables_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "meshtrail.toml"
    path.write_text(
        '[[collect.tail]]\npath = "audit.log"\nformat = "kubernetes-audit"\n'
        '[[collect.tail]]\npath = "/var/log/*.log"\nformat = "ztunnel"\nreporter = "node-1"\n'
        'cluster = "east"\n'
    )
    tables = read_tables(path)
    read = make_configuration(tables, overrides={}, folder=tmp_path).collect
    assert read.tail == (
        TailOptions(path=tmp_path / "audit.log", format="kubernetes-audit"),
        TailOptions(
            path=Path("/var/log/*.log"), format="ztunnel", reporter="node-1", cluster="east"
        ),
    )
    given = make_configuration(
        tables, overrides={"collect.tail": [{"path": "/b", "format": "hubble"}]}, folder=tmp_path
    ).collect
    assert given.tail == (TailOptions(path=Path("/b"), format="hubble"),)
