from wrrtun.core.flows import MOST_FLOWS, BulkFlows

ONE, OTHER = b"one", b"other"


def test_a_flow_that_has_sent_bulk_is_remembered_for_one_to_two_seconds() -> None:
    flows = BulkFlows()
    assert not flows.holds(ONE, 10.0)
    flows.add(ONE)
    assert flows.holds(ONE, 10.5)
    assert flows.holds(ONE, 11.5)
    assert not flows.holds(OTHER, 11.5)
    assert not flows.holds(ONE, 12.5)


def test_a_flow_that_goes_on_is_not_forgotten() -> None:
    flows = BulkFlows()
    for tenth in range(100, 200):
        assert flows.holds(ONE, tenth / 10) == (tenth > 100)
        flows.add(ONE)


def test_after_a_pause_of_two_seconds_all_is_forgotten() -> None:
    flows = BulkFlows()
    flows.holds(ONE, 10.0)
    flows.add(ONE)
    assert not flows.holds(ONE, 12.0)


def test_flows_without_end_take_bounded_room() -> None:
    flows = BulkFlows()
    for number in range(10 * MOST_FLOWS):
        flows.holds(b"%d" % number, 10.0)
        flows.add(b"%d" % number)
    kept = sum(flows.holds(b"%d" % number, 10.0) for number in range(10 * MOST_FLOWS))
    assert MOST_FLOWS <= kept <= 2 * MOST_FLOWS
