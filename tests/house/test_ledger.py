"""Where time went: parts inside parts, what JAX compiles, and nothing where no ledger is open."""

import threading

import jax
import jax.numpy as jnp
import pytest

from jaxvae import ledger


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still unless it is moved on."""
    now = [100.0]
    monkeypatch.setattr(ledger.time, "perf_counter", lambda: now[0])

    def move(seconds):
        now[0] += seconds

    return move


def test_a_part_is_timed_without_the_parts_inside_it_and_all_add_up(clock):
    with ledger.opened({"start": 2.0}) as book:
        clock(1)
        with ledger.part("score"):
            clock(3)
            with ledger.part("encode"):
                clock(5)
            clock(7)
        with ledger.part("score"):
            clock(11)
        clock(13)
        assert book.seconds() == {"start": 2.0, "score": 21.0, "encode": 5.0, "rest": 14.0}
        assert ledger.seconds() == book.seconds()


def test_a_part_that_fails_is_timed_and_over(clock):
    with ledger.opened() as book:
        with pytest.raises(KeyError), ledger.part("train"):
            clock(2)
            raise KeyError
        clock(1)
        assert book.seconds() == {"train": 2.0, "rest": 1.0}


def test_what_is_opened_inside_goes_on_with_the_ledger_that_is_open(clock):
    with ledger.opened() as outer:
        with ledger.opened({"start": 9.0}) as inner:
            assert inner is outer
        with ledger.part("draw"):
            clock(1)
        assert outer.seconds() == {"draw": 1.0, "rest": 0.0}
    assert ledger.seconds() == {}


def test_nothing_is_timed_where_no_ledger_is_open_nor_in_another_thread(clock):
    with ledger.part("train"):
        clock(1)
    with ledger.opened() as book:

        def elsewhere():
            with ledger.part("elsewhere"):
                clock(4)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert book.seconds() == {"rest": 4.0}


def test_what_jax_compiles_is_taken_out_of_the_part_that_asked_for_it(clock):
    with ledger.opened() as book:
        with ledger.part("encode"):
            clock(10)
            book.compiled(4.0)
        with ledger.part(ledger.COMPILE):
            clock(3)
            book.compiled(2.0)  # inside already
        assert book.seconds() == {"encode": 6.0, "compile": 7.0, "rest": 0.0}


def test_jax_says_what_it_compiles():
    with ledger.opened() as book:
        with ledger.part("encode"):
            jax.jit(lambda x: jnp.sin(x) * 1.2345678)(jnp.ones(7)).block_until_ready()
        found = book.seconds()
    assert found["compile"] > 0 and found["encode"] >= 0
