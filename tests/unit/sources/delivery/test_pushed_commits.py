from __future__ import annotations

from meshtrail.sources.delivery.pushed_commits import (
    COMMITS_COUNT_MAX,
    PATHS_COUNT_MAX,
    list_commits,
    name_person,
)
from meshtrail.sources.json_members import Members


def test_commits_are_told_with_author_time_and_paths() -> None:
    commit = {
        "id": "ab" * 20,
        "message": "Let orders in\n\nand out",
        "timestamp": "1970-01-01T01:00:01+01:00",
        "author": {"name": "Ada", "email": "ada@shop.example"},
        "added": ["a"],
        "modified": ["policy.yaml"],
        "removed": ["b"],
    }
    assert list_commits(Members({"commits": [commit]})) == [
        {
            "id": "ab" * 20,
            "author": "Ada <ada@shop.example>",
            "time_ns": 1_000_000_000,
            "subject": "Let orders in",
            "paths_count": 3,
            "paths": [
                {"change": "A", "path": "a"},
                {"change": "M", "path": "policy.yaml"},
                {"change": "D", "path": "b"},
            ],
        }
    ]


def test_the_last_commits_and_the_first_paths_are_told() -> None:
    commits = [{"id": f"{n}", "added": ["p"] * 100} for n in range(100)]
    told = list_commits(Members({"commits": commits}))
    assert [one["id"] for one in told] == [f"{n}" for n in range(100 - COMMITS_COUNT_MAX, 100)]
    assert {(one["paths_count"], len(one["paths"])) for one in told} == {(100, PATHS_COUNT_MAX)}


def test_message_of_any_length_or_type_has_a_bounded_subject() -> None:
    said = Members({"commits": [{"message": "x" * 100_000}, {"message": 7}, {"message": "\n"}]})
    told = [one.get("subject") for one in list_commits(said)]
    assert told == ["x" * 512, None, None]


def test_person_is_named_as_far_as_it_is_said() -> None:
    people = [{"name": "A", "email": "a@b"}, {"name": "A"}, {"email": "a@b"}, {}]
    assert [name_person(Members(one)) for one in people] == ["A <a@b>", "A", "<a@b>", None]
