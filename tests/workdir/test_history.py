"""history.csv read again after an accident: rows that are gone are named, the rest is kept."""

import numpy as np
import pytest

from jaxvae.workdir import logged, tables

COLUMNS = ["lane", "step", "loss", "mig"]
ROWS = [
    f"{lane},{step},{step + lane / 4},{'0.5' if step == 40 else ''}" for step in (10, 20, 30, 40) for lane in (0, 1)
]
STOPS = {0: (40, 40), 1: (40, 25)}  # lane 1 has diverged at step 25


def write(path, *lines, end="\n"):
    path.write_text("\n".join([",".join(COLUMNS), *lines]) + end)
    return logged.read(path)


def lacking(found):
    return logged.gone(found, 10, 40, STOPS)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "history.csv"


def test_a_whole_history_is_read_as_it_is(path):
    found = write(path, *ROWS)
    assert found.columns == tuple(COLUMNS) and found.lines == ROWS and found.problem == "" == lacking(found)
    columns = logged.as_columns(found)
    assert columns["lane"].dtype == columns["step"].dtype == np.int64
    np.testing.assert_array_equal(columns["loss"][:3], [10, 10.25, 20])
    np.testing.assert_array_equal(columns["mig"], [np.nan] * 6 + [0.5] * 2)
    assert logged.read(path.with_name("none.csv")) == logged.NOTHING


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"\0" * 4096, "does not begin with the names of its columns"),
        (np.random.default_rng(0).bytes(3000), "does not begin with the names of its columns"),
        (b"lane,step,loss,mig", "does not begin|"),
        (b"lane,lane,step\n0,1,2\n", "does not begin"),
    ],
    ids=["empty", "NULs", "binary", "cut in its first line", "other columns"],
)
def test_what_cannot_be_read_at_all_is_said(path, content, problem):
    path.write_bytes(content)
    found = logged.read(path)
    assert not found.lines and logged.as_columns(found) == {}
    assert (found.problem if "|" not in problem else "") == "" or problem.split("|")[0] in found.problem
    assert "7 rows are gone from history.csv (lanes 0 to 1, steps 10 to 40)" in lacking(found)


def test_a_cut_history_keeps_its_rows_and_names_the_others(path):
    found = write(path, *ROWS[:4], ROWS[4][:-3], end="")
    assert found.lines == ROWS[:4] and found.problem == ""  # as a kill leaves it
    assert "3 rows are gone from history.csv (lanes 0 to 1, steps 30 to 40)" in lacking(found)


def test_lines_that_are_no_rows_are_named_and_the_others_kept(path):
    odd = [",".join(COLUMNS), "0,30,x,", "1,30,1,2,3", "", "\0\0\0", "-1,30,1,", "0,30", ROWS[0], "٣,30,1,"]
    found = write(path, *ROWS[:4], *odd, *ROWS[6:])
    assert found.lines == ROWS[:4] + ROWS[6:]
    assert found.problem == "lines 6, 7, 8, 9, 10 and 4 more of history.csv are no row of numbers"
    assert lacking(found).startswith("2 rows are gone from history.csv (lanes 0 to 1, step 30)")


def test_rows_below_a_lost_head_are_kept(path):
    path.write_text("\0\0\0\n" + "\n".join(ROWS) + "\n")
    found = logged.read(path, COLUMNS)
    assert found.lines == ROWS and found.columns == tuple(COLUMNS) and "does not begin" in found.problem
    assert not logged.read(path, COLUMNS[:3]).lines


def test_rows_move_to_where_their_columns_are_now(path):
    found = write(path, *ROWS)
    table = tables.Table(path, ["lane", "step", "kl", "mig", "loss"])
    table.rewrite_lines(found.columns, found.lines)
    table.append([{"lane": 0, "step": 50, "kl": 1.5}])
    assert path.read_text().splitlines()[:2] == ["lane,step,kl,mig,loss", "0,10,,,10.0"]
    assert path.read_text().splitlines()[-1] == "0,50,1.5,,"
