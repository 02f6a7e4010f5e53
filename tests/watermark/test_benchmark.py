from tests.benchmarks import watermark


def test_the_benchmark_measures_and_the_peer_takes_part():
    keyed = watermark.keyed(0.02)
    assert {row["target"] for row in keyed.rows} == {"murmur3", "philox"}
    detection = watermark.detection(0.02, 60)
    assert "transformers kgw-lefthash" in {row["target"] for row in detection.rows}
    assert all(row["tokens_per_s"] > 0 for row in detection.rows)


def test_a_stream_is_scored_in_bounded_memory():
    report = watermark.stream(400_000)
    assert not report.failures
    (row,) = report.rows
    assert row["scored"] > 0.99 * 400_000
    assert row["peak_rss_mib"] < 300


def test_text_is_read_and_judged_in_bounded_memory():
    report = watermark.text_stream(1_200_000)
    assert not report.failures
    (row,) = report.rows
    assert row["verdicts"] == 3
    assert row["peak_rss_mib"] < 300
