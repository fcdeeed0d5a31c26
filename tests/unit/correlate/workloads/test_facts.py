from __future__ import annotations

import pyarrow as pa

from meshtrail.correlate.workloads.facts import NEVER, read_facts, shorten_details
from tests.workload_events import workload, workload_table

WEB = {"object_uid": "u1", "object_namespace": "shop", "object_name": "web-1"}
NAMED = WEB | {"object_uid": None}


def test_facts_stand_by_pod_and_by_their_own_time() -> None:
    facts = read_facts(
        workload_table(
            [
                workload(1, 30, **WEB),
                workload(2, 20, **WEB | {"object_uid": "u2"}),
                workload(3, 10, **WEB, object_version="2"),
                workload(4, 10, **WEB, object_version="10"),
                workload(5, 10, **WEB, object_version="9"),
            ]
        )
    )
    assert facts.log_index.tolist() == [3, 5, 4, 1, 2]
    assert facts.pod.tolist() == [0, 0, 0, 0, 1]
    assert facts.pod_starts.tolist() == [0, 4]


def test_a_name_is_the_last_pod_of_that_name_that_had_begun() -> None:
    later = WEB | {"object_uid": "u2", "object_created_time": 40}
    rows = [workload(1, 10, **WEB), workload(2, 50, **later)]
    rows += [workload(index, at, **NAMED) for index, at in ((3, 5), (4, 39), (5, 40))]
    facts = read_facts(workload_table(rows))
    uids = facts.texts["uid"].take(facts.codes["uid"].clip(0)).to_pylist()
    told = {
        int(index): uid if code >= 0 else None
        for index, uid, code in zip(facts.log_index, uids, facts.codes["uid"], strict=True)
    }
    assert told == {1: "u1", 2: "u2", 3: None, 4: "u1", 5: "u2"}


def test_a_pod_that_nobody_ended_is_over_never() -> None:
    facts = read_facts(workload_table([workload(1, 10, **WEB)]))
    assert (facts.over_ns.tolist(), facts.sure_ns.tolist()) == ([NEVER], [NEVER])


def test_a_pod_that_is_seen_alive_after_its_deletion_was_asked_for_lives_until_then() -> None:
    asked = workload(1, 10, **WEB, operation="delete")
    alive = workload(2, 12, **WEB, pod_phase="Running")
    facts = read_facts(workload_table([asked, alive]))
    assert (facts.over_ns.tolist(), facts.sure_ns.tolist()) == ([12], [NEVER])


def test_of_details_no_more_is_kept_than_facts_are_read_from() -> None:
    details = [
        None,
        '{"origin":"kubectl"}',
        '{"host_network":true,"node_ips":["10.0.0.1"]}',
        '{"started_ns":1,"finished_ns":55,"containers":[{"finished_ns":50}],"dry_run":true}',
    ]
    shortened = shorten_details(pa.array(details, pa.string())).to_pylist()
    assert shortened == ["", "", '"host_network":true', '"dry_run":true"finished_ns":55}']
    rows = [
        workload(1, 90, **WEB, pod_phase="Failed", detail=str(details[3]).replace("dry", "wet"))
    ]
    (short,) = shorten_details(pa.array([rows[0]["detail"]])).to_pylist()
    for detail in (rows[0]["detail"], short):
        facts = read_facts(workload_table([rows[0] | {"detail": detail}]))
        assert facts.over_ns.tolist() == [55]
