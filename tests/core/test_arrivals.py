"""What a report says of the bulk that has arrived over a link."""

from wrrtun.core.arrivals import Arrivals
from wrrtun.core.reports import LinkReport


def test_a_report_has_every_sample_while_they_are_few_and_the_totals_of_the_newest() -> None:
    arrivals = Arrivals()
    arrivals.add(10, 1, 1500, 1.000)
    arrivals.add(12, 2, 4500, 1.002)
    assert arrivals.report(3, 12, 0.007) == LinkReport(
        3, 3, 4500, 12, 7, ((10, 1_000_000), (12, 1_002_000))
    )


def test_of_many_samples_a_report_has_eight_evenly_spaced_with_the_newest() -> None:
    arrivals = Arrivals()
    for seq in range(701):
        arrivals.add(seq, 1, seq * 1500, seq * 0.001)
    samples = arrivals.report(0, 700, 0.0).samples
    assert [seq for seq, _ in samples] == [0, 100, 200, 300, 400, 500, 600, 700]


def test_without_news_a_report_repeats_the_totals_and_has_no_samples() -> None:
    arrivals = Arrivals()
    arrivals.add(5, 4, 6000, 1.0)
    arrivals.report(0, 5, 0.0)
    assert arrivals.report(0, 5, 70.0) == LinkReport(0, 4, 6000, 5, 65_535, ())
