"""Where the time of a run went, as it is told."""

import math

import pytest

from jaxvae.report import spent

SPENT = {
    "start": 1.52,
    "train": 60.04,
    "score: mig": 0.04,
    "encode": 3.0,
    "score: dci": 9.96,
    "save": 0.01,
    "rest": 0.43,
}


def test_the_line_gives_parts_in_order_and_metrics_longest_first():
    assert spent.time_line(SPENT) == (
        "1 min 15 s: start 1.5 s, train 60.0 s, score 10.0 s (dci 10.0), encode 3.0 s, rest 0.4 s"
    )


def test_the_table_has_a_row_for_each_part_and_each_metric_and_writes_names_as_text():
    table = spent.table(SPENT | {"score: <b>": 2.0})
    assert table.count("<tr>") == 9  # six parts, three metrics
    assert "<b>" not in table and "&lt;b&gt;" in table
    assert ">60.0 s<" in table and ">78%<" in table


@pytest.mark.parametrize("told", [None, 3, "x", {}, {"train": "<b>"}, {"train": math.inf}, {"train": [1.0]}])
def test_what_is_no_time_in_a_file_is_passed_over(told):
    assert spent.read(told) == {}
