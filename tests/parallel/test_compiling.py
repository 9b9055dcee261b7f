"""Programs compiled side by side: each once, traced here, in the background only where that is asked for."""

import functools
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.parallel import compiling
from jaxvae.parallel.compiling import Wanted


class Counted:
    """A program that says where it is traced and compiled."""

    def __init__(self, name, fail=0):
        self.traced, self.compiled, self.fail = [], [], fail
        self.wanted = Wanted(("counted", name, id(self)), self.lower)

    def lower(self):
        self.traced.append(threading.current_thread())
        self.lowered = jax.jit(lambda x: x + 1).lower(jax.ShapeDtypeStruct((2,), jnp.float32))
        return self

    def compile(self):
        self.compiled.append(threading.current_thread())
        if len(self.compiled) <= self.fail:
            raise MemoryError("no room to compile")
        return self.lowered.compile()


def test_a_program_is_traced_here_compiled_elsewhere_and_once():
    one, other = Counted("one"), Counted("other")
    with compiling.side_by_side():
        compiling.begin(one.wanted)
        compiling.begin(one.wanted)
        programs = compiling.together([one.wanted, other.wanted])
        assert compiling.together([other.wanted, one.wanted]) == programs[::-1]
    assert compiling.together([one.wanted]) == programs[:1]
    here = threading.current_thread()
    assert one.traced == other.traced == [here]
    assert len(one.compiled) == len(other.compiled) == 1 and here not in one.compiled + other.compiled
    np.testing.assert_array_equal(programs[0](np.zeros(2, np.float32)), [1, 1])


def test_nothing_is_begun_where_nothing_is_done_side_by_side():
    one = Counted("one")
    compiling.begin(one.wanted)
    assert not one.traced


def test_what_fails_in_the_background_is_tried_again_and_then_told():
    once, always = Counted("once", fail=1), Counted("always", fail=9)
    with compiling.side_by_side():
        compiling.begin(once.wanted)
        compiling.begin(always.wanted)
        compiling.settle()
        compiling.together([once.wanted])
        with pytest.raises(MemoryError, match="no room to compile"):
            compiling.together([always.wanted])
    assert len(once.compiled) == 2
    always.fail = 0  # there is room now
    compiling.together([always.wanted])


def test_what_waits_when_the_block_ends_is_compiled_when_it_is_wanted(monkeypatch):
    monkeypatch.setattr(compiling, "num_cores", lambda: 1)
    let_go, first, second = threading.Event(), Counted("first"), Counted("second")
    compile_first = first.compile
    first.compile = lambda: (let_go.wait(60), compile_first())[1]
    with compiling.side_by_side():
        compiling.begin(first.wanted)
        compiling.begin(second.wanted)
    assert not second.compiled
    let_go.set()
    compiling.together([first.wanted, second.wanted])
    assert len(first.compiled) == len(second.compiled) == 1


def test_shapes_stand_for_arrays():
    arrays = {"a": jnp.zeros((2, 3)), "b": jnp.arange(4)}
    shapes, known_by = compiling.shapes(arrays)
    assert compiling.shapes(shapes)[1] == known_by != compiling.shapes(arrays | {"b": jnp.arange(5)})[1]
    assert functools.partial(hash, known_by)() == hash(compiling.shapes(shapes)[1])
