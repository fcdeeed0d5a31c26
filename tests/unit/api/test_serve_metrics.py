from __future__ import annotations

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from meshtrail.api.serve_metrics import ServeMetrics


def shown(metrics: ServeMetrics) -> dict[str, list[tuple[dict[str, str], float]]]:
    text = generate_latest(metrics.registry).decode()
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def test_each_process_counts_for_itself_from_nothing() -> None:
    one, other = ServeMetrics(version="1.2.3"), ServeMetrics(version="1.2.3")
    one.errors.labels("QueryError").inc()
    one.searches_running.set_function(lambda: 4)
    assert shown(one)["meshtrail_errors"] == [({"error": "QueryError"}, 1.0)]
    assert shown(one)["meshtrail_searches_running"] == [({}, 4.0)]
    assert shown(other)["meshtrail_errors"] == []


def test_what_runs_stands_in_labels_and_nothing_is_told_of_when_a_counter_began() -> None:
    found = shown(ServeMetrics(version="1.2.3"))
    ((labels, value),) = found["meshtrail_build_info"]
    assert (labels["version"], value) == ("1.2.3", 1.0)
    assert not [name for name in found if name.endswith("_created")]
