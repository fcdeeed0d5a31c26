"""``meshtrail keys token``, ``tokens`` and ``revoke``: what senders without a certificate show."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from meshtrail.cli import exit_codes

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from meshtrail.collect.tokens import Token

TOKEN_VERBS = ("token", "tokens", "revoke")
DAYS_DEFAULT = 365


def run_token_verb(arguments: argparse.Namespace) -> int:
    """Run one of the verbs; ``arguments`` are those of ``meshtrail keys``."""
    path = _tokens_file(arguments.tokens)
    if arguments.verb == "token":
        _make(arguments, path)
    elif arguments.verb == "tokens":
        _list(path, is_json=arguments.json)
    else:
        _revoke(arguments.what, path, is_json=arguments.json)
    return exit_codes.OK


def _make(arguments: argparse.Namespace, path: Path) -> None:
    from meshtrail.app.clock import SystemClock
    from meshtrail.app.tokens import add_token
    from meshtrail.collect.tokens import make_token

    token, text = make_token(
        arguments.what,
        sources=[name for part in arguments.source for name in part.split(",") if name],
        reporters=arguments.reporter,
        now_ns=SystemClock().wall_ns(),
        days=DAYS_DEFAULT if arguments.days is None else arguments.days,
    )
    add_token(path, token, data=arguments.data)
    if arguments.json:
        print(json.dumps({"token": text, **_facts(token), "tokens_file": str(path)}))
        return
    print(text)
    print(_line(token), file=sys.stderr)
    print(f"tokens file {path}", file=sys.stderr)
    print("This is the only time that it is shown.", file=sys.stderr)


def _list(path: Path, *, is_json: bool) -> None:
    from meshtrail.app.tokens import read_tokens

    tokens = sorted(read_tokens(path).values(), key=lambda token: token.name)
    if is_json:
        facts = {"tokens": [_facts(token) for token in tokens], "tokens_file": str(path)}
        print(json.dumps(facts))
        return
    for token in tokens:
        print(_line(token))
    sys.stdout.flush()
    print(f"{len(tokens)} tokens in {path}", file=sys.stderr)


def _revoke(name_or_id: str, path: Path, *, is_json: bool) -> None:
    from meshtrail.app.tokens import revoke_token

    token = revoke_token(path, name_or_id)
    if is_json:
        print(json.dumps({"revoked": _facts(token), "tokens_file": str(path)}))
        return
    print(f"revoked {token.name} ({token.id})")


def _facts(token: Token) -> dict[str, object]:
    """Plain facts; the hash is nobody's business but the collector's."""
    return {name: value for name, value in token.as_json().items() if name != "sha256"}


def _line(token: Token) -> str:
    facts = token.as_json()
    sources, reporters = ",".join(token.sources), " ".join(token.reporters)
    return f"{token.name}  {token.id}  until {facts['expires']}  {sources}  {reporters}"


def _tokens_file(named: Path | None) -> Path:
    from meshtrail.app.keys import home_directory
    from meshtrail.app.tokens import default_tokens_file

    return (named or default_tokens_file(home_directory(os.environ))).absolute()
