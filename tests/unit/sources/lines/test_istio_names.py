from __future__ import annotations

import pytest

from meshtrail.sources.lines.istio_names import ClusterFacts, read_cluster, read_server_name


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("inbound|8080||", ClusterFacts("destination")),
        ("inbound|8080|http|x.y", ClusterFacts("destination", "x.y")),
        ("outbound|80|v1|x.y", ClusterFacts("source", "x.y")),
        ("inbound-vip|80|http|x.y", ClusterFacts("destination", "x.y", is_waypoint=True)),
        ("PassthroughCluster", ClusterFacts("source")),
        ("BlackHoleCluster", ClusterFacts("source")),
        ("InboundPassthroughCluster", ClusterFacts("destination")),
        ("local_app", ClusterFacts("destination")),
        ("pay.default.dc1.internal.1-2.consul", ClusterFacts("source")),
        ("outbound|80", ClusterFacts()),
        ("agent", ClusterFacts()),
        ("", ClusterFacts()),
        (None, ClusterFacts()),
    ],
)
def test_the_name_of_a_cluster_tells_who_reports_and_what_was_called(
    name: str | None, facts: ClusterFacts
) -> None:
    assert read_cluster(name) == facts


def test_the_name_of_a_server_tells_the_service_only_as_istio_writes_it() -> None:
    assert read_server_name("outbound_.8080_.v1_.x.y") == "x.y"
    assert read_server_name("outbound_.8080_._.x.y") == "x.y"
    for name in ("x.y", "outbound_.8080_._.", "inbound_.80_._.x", "outbound|80||x", None):
        assert read_server_name(name) is None
