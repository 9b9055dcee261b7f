"""Memory: predicted from what is compiled, read from the system, kept to; and what is said when it runs out."""

import errno
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.asked import spec
from jaxvae.data.grid import assemble
from jaxvae.parallel.lanes import make_mesh, put_everywhere, put_lanes
from jaxvae.training import loop, memory, placing, sweep
from jaxvae.training.memory import Memory
from jaxvae.types import InputError, Program
from jaxvae.workdir import claiming, plan, records, tables
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.waves import read, split, waves

SHAPE = (8, 8, 1)
KIB, MIB, GIB = 2**10, 2**20, 2**30


@pytest.fixture(scope="module")
def data():
    images = (np.random.default_rng(0).random((64, *SHAPE)) < 0.3).astype(np.uint8) * 255
    return assemble("noise", images, annotation="none")


def given(num_lanes=7, steps=12, **changed):
    chosen = {"objectives": ("beta_vae",), "architectures": ("mlp",), "latent_dim": 3, "batch_size": 8, "lr": 1e-3}
    chosen |= {"steps": steps, "log_every": 4, "lanes": "map", "save_seconds": 0.0} | changed
    return spec.Spec(**chosen, sweep=(spec.parse_axis(f"seed=0:{num_lanes}"),))


def fit(chosen, data, path):
    """Train a sweep in a folder; return what was printed."""
    said = []
    groups = spec.expand(chosen, SHAPE, len(data))
    with claiming.claim(path, chosen, resume=None, overwrite=False):
        loop.fit(chosen, groups, data, path, said.append)
    return said


def kept(path):
    """Return every lane's state as it lies in the checkpoints, [(lane, {path: array})], and the waves' lanes."""
    lanes, sizes = [], []
    for wave in records.read_json(path / "run.json")["waves"]:
        checkpoints = Checkpoints(path / wave["directory"])
        state, _ = checkpoints.restore(checkpoints.latest())
        checkpoints.close()
        sizes.append(len(wave["lanes"]))
        for index, about in enumerate(wave["lanes"]):
            lanes.append((about["lane"], jax.tree.map(lambda leaf, i=index: leaf[i], state)))
    return lanes, sizes


def assert_same(path, whole):
    """The same lanes, bit for bit, and every row of the history once: lanes in turn do not depend on the cut."""
    for (lane, a), (other, b) in zip(kept(path)[0], kept(whole)[0], strict=True):
        assert lane == other
        jax.tree.map(np.testing.assert_array_equal, a, b)
    rows = [sorted((r["lane"], r["step"]) for r in tables.read_table(p / "history.csv")) for p in (path, whole)]
    assert rows[0] == rows[1]
    folders = {str(p.relative_to(path)) for p in path.glob("checkpoints/*/*")}
    assert folders == {wave["directory"] for wave in records.read_json(path / "run.json")["waves"]}


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("memory") / "whole"
    assert any(line.startswith("  memory: ") and "a lane" in line for line in fit(given(), data, path))
    return path


# What there is


def system(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MACHINE = {"proc/meminfo": "MemTotal: 9000 kB\nMemAvailable:    4000 kB\n", "proc/self/statm": "1 1 1\n"}
V2, V1 = "sys/fs/cgroup/", "sys/fs/cgroup/memory/"


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({}, 4000 * KIB),
        ({"proc/self/cgroup": "0::/job\n", V2 + "job/memory.max": "max\n"}, 4000 * KIB),
        (
            {
                "proc/self/cgroup": "0::/job/step\n",
                V2 + "job/step/memory.max": "max\n", V2 + "job/step/memory.current": "900\n",
                V2 + "job/memory.max": "3000\n", V2 + "job/memory.current": "1000\n",
                V2 + "job/memory.stat": "anon 5\ninactive_file 400\n",
            },
            2400,
        ),
        # In a container the path is the one outside, and the limit lies at the top.
        (
            {
                "proc/self/cgroup": "5:cpu:/a\n4:memory:/docker/12ab\n",
                V1 + "memory.limit_in_bytes": "5000\n", V1 + "memory.usage_in_bytes": "4000\n",
                V1 + "memory.stat": "total_inactive_file 100\n",
            },
            1100,
        ),
        ({"proc/self/cgroup": "0::/\n", V2 + "memory.max": "10\n", V2 + "memory.current": "90\n"}, 0),
    ],
)  # fmt: skip
def test_free_memory_is_the_least_of_machine_and_control_groups(files, free, tmp_path):
    assert memory.free_on_host(system(tmp_path, MACHINE | files)) == free


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 400 bytes."),
        jax.errors.JaxRuntimeError("INTERNAL: YNNPACK operation failed"),
        jax.errors.JaxRuntimeError("INTERNAL: Failed to allocate 400 bytes for new constant"),
        jax.errors.JaxRuntimeError("INTERNAL: CUBLAS_STATUS_ALLOC_FAILED"),
        jax.errors.JaxRuntimeError("UNKNOWN: std::bad_alloc"),
    ],
    ids=lambda error: str(error)[:30],
)
def test_every_lack_of_memory_is_recognised(error):
    assert memory.is_exhausted(error)
    wrapped = ValueError("a checkpoint could not be written")
    wrapped.__cause__ = error
    assert memory.is_exhausted(wrapped)
    assert not memory.is_exhausted(type(error)("something else") if type(error) is not MemoryError else ValueError())


def test_a_limit_on_address_space_counts(tmp_path, monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _: (MIB, MIB))
    assert memory.free_on_host(system(tmp_path, MACHINE)) == MIB - resource.getpagesize()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (512, "512 B"), (2048, "2 KiB"), (12.34 * MIB, "12.3 MiB"), (1.25 * GIB, "1.25 GiB"),
     (1020 * MIB, "1020 MiB"), (5000 * GIB, "5000 GiB")],
)  # fmt: skip
def test_bytes_read_easily(number, text):
    assert memory.as_text(number) == text


# What is needed


@pytest.mark.parametrize("mode", ["map", pytest.param("vmap", marks=pytest.mark.slow)])
def test_prediction_is_what_the_arrays_take_and_grows_by_the_lane(data, mode):
    program = Program("mlp", "beta_vae", SHAPE, latent_dim=3, batch_size=8)
    mesh = make_mesh(16)
    takes = {}
    for lanes in (8, 16, 32):
        state = sweep.state_shapes(program, mesh, lanes)
        spread = put_everywhere(data, mesh)
        steps = sweep.steps_for(program, mesh, mode, lanes, spread)
        takes[lanes] = memory.need(state, mesh, memory.size_of(data), steps).host
        analysis = steps.memory_analysis()
        numbers = 4 * len(sweep.single.hyper_defaults(program)) * lanes
        held = (memory.size_of(state) + numbers) / mesh.size + memory.size_of(data)
        assert analysis.argument_size_in_bytes == pytest.approx(held, abs=64)
        assert takes[lanes] > (1 + memory.COPIES) * memory.size_of(state)
        assert takes[lanes] >= memory.need(state, mesh).host
        real = sweep.compiled_init(program, mesh)(
            put_lanes({n: np.zeros(lanes, s.dtype) for n, s in sweep._hyper_shapes(program, lanes).items()}, mesh)
        )
        assert jax.tree.map(lambda a: (a.shape, a.dtype), real) == jax.tree.map(lambda a: (a.shape, a.dtype), state)
    assert takes[32] - takes[16] == pytest.approx(2 * (takes[16] - takes[8]), rel=0.01)


def test_an_accelerator_holds_lanes_and_the_host_only_copies():
    device = types.SimpleNamespace(
        platform="gpu", process_index=0, memory_stats=lambda: {"bytes_limit": 9, "bytes_in_use": 4}
    )
    mesh = types.SimpleNamespace(devices=np.array([device, device]), shape={"lane": 2})
    state = {"w": jax.ShapeDtypeStruct((4, 10), np.float32)}
    assert memory.need(state, mesh) == Memory(80, memory.COPIES * 160)
    assert memory.available(mesh).device == 5
    device.memory_stats = lambda: None
    assert memory.available(mesh).device == memory.UNKNOWN


def test_share_looks_at_the_tighter_side():
    assert memory.share(Memory(1, 10), Memory(2, 100)) == 0.5
    assert memory.share(Memory(1, 90), Memory(2, 100), margin=1 / 10) == 1.0
    assert memory.share(Memory(1, 90), Memory(memory.UNKNOWN, memory.UNKNOWN)) == 0.0
    assert memory.words(Memory(MIB, GIB), Memory(2 * MIB, 10 * GIB)) == "1 MiB of 2 MiB"
    assert memory.words(Memory(0, GIB), Memory(memory.UNKNOWN, memory.UNKNOWN)) == "1 GiB"


# What is compiled


def compilations(monkeypatch):
    """Return a list that grows by the name of each program that is compiled from now on."""
    from jax._src import compiler

    names, compile_or_get = [], compiler.compile_or_get_cached
    monkeypatch.setattr(
        compiler,
        "compile_or_get_cached",
        lambda backend, module, *rest, **more: (
            names.append(module.operation.attributes["sym_name"].value),
            compile_or_get(backend, module, *rest, **more),
        )[1],
    )
    return names


@pytest.mark.slow
def test_a_sweep_compiles_each_program_once_whatever_its_waves_numbers_and_steps(data, tmp_path, monkeypatch):
    chosen = given(9, latent_dim=4, max_lanes=4, lanes="auto")
    names = compilations(monkeypatch)
    fit(chosen, data, tmp_path / "first")
    assert names.count("jit_steps") == 1  # three lanes on four devices: map and vmap are the same program
    names.clear()
    fit(given(9, latent_dim=4, max_lanes=4, lanes="auto", lr=3e-3, seed=5, steps=17), data, tmp_path / "second")
    assert "jit_steps" not in names
    fit(given(9, latent_dim=4, max_lanes=9, lanes="auto"), data, tmp_path / "both")
    assert names.count("jit_steps") == 2  # one for each mode, and the faster one trains as it is


@pytest.mark.parametrize("mode", ["map", "vmap"])
def test_the_program_does_not_grow_with_lanes(data, mode):
    program = Program(
        "mlp", "factor_vae", SHAPE, latent_dim=3, batch_size=8, sizes={"critic_width": 8, "critic_depth": 2}
    )
    lengths = []
    for lanes in (8, 32, 128):
        mesh = make_mesh(lanes)
        lowered = sweep.compiled_steps(program, mesh, mode).lower(
            data, sweep._hyper_shapes(program, lanes), sweep.state_shapes(program, mesh, lanes), jnp.int32(0)
        )
        lengths.append(lowered.as_text().count("\n"))
    assert len(set(lengths)) == 1


# What is done about it


def room_for(lanes, monkeypatch, chosen, data):
    """Make as much memory free as this many lanes take, and the margin."""
    program = spec.expand(chosen, SHAPE, len(data))[0].program
    mesh = make_mesh(lanes)
    steps = sweep.steps_for(program, mesh, chosen.lanes, lanes, put_everywhere(data, mesh))
    takes = memory.need(sweep.state_shapes(program, mesh, lanes), mesh, memory.size_of(data), steps)
    monkeypatch.setattr(memory, "available", lambda _: Memory(memory.UNKNOWN, takes.host / (1 - memory.MARGIN) + 1))


@pytest.mark.parametrize("max_lanes", ["auto", pytest.param(64, marks=pytest.mark.slow)])
def test_fewer_lanes_at_a_time_where_memory_is_short(data, whole, tmp_path, monkeypatch, max_lanes):
    chosen = given(max_lanes=max_lanes)
    room_for(4, monkeypatch, chosen, data)
    said = fit(chosen, data, tmp_path / "short")
    assert kept(tmp_path / "short")[1] == [4, 3]
    assert_same(tmp_path / "short", whole)
    assert any("memory allows 4 lanes at a time, fewer than --max_lanes=64" in s for s in said) == (max_lanes == 64)


def test_a_lane_that_does_not_fit_is_refused_before_it_is_compiled(data, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda _: Memory(memory.UNKNOWN, 30 * KIB))
    monkeypatch.setattr(sweep, "steps_for", None)
    with pytest.raises(InputError, match=r"one lane needs .* of memory .* 30 KiB are free; lower --batch_size"):
        fit(given(), data, tmp_path / "run")


def exhausted_above(lanes, monkeypatch, after=0):
    """Make every call that takes steps with more than so many lanes fail as XLA does, after some that do not."""
    place, calls = placing.place, [0]

    def fails(steps, *arguments):
        calls[0] += 1
        if calls[0] > after and len(arguments[2].step) > lanes:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 123 bytes.")
        return steps(*arguments)

    def placed(*arguments, **options):
        there = place(*arguments, **options)
        return there._replace(steps=lambda *a: fails(there.steps, *a))

    monkeypatch.setattr(placing, "place", placed)


@pytest.mark.parametrize("after", [0, pytest.param(1, marks=pytest.mark.slow), 3])
def test_out_of_memory_at_a_step_halves_the_waves_and_loses_nothing(data, whole, tmp_path, monkeypatch, after):
    exhausted_above(4, monkeypatch, after)
    said = fit(given(), data, tmp_path / "run")
    assert sum("out of memory with 7 lanes at a time" in s and "going on with 4" in s for s in said) == 1
    assert any("going on from step" in s for s in said) == (after > 0)
    assert kept(tmp_path / "run")[1] == [4, 3]
    assert_same(tmp_path / "run", whole)


def test_asked_to_stop_it_compiles_nothing_smaller(data, tmp_path, monkeypatch):
    def stop_at_once(self):
        self.received = 15
        return self

    monkeypatch.setattr(loop.StopSignals, "__enter__", stop_at_once)
    monkeypatch.setattr(loop.StopSignals, "__exit__", lambda *_: None)
    exhausted_above(4, monkeypatch)
    with pytest.raises(loop.Interrupted):
        fit(given(), data, tmp_path / "run")
    assert [len(w["lanes"]) for w in records.read_json(tmp_path / "run" / "run.json")["waves"]] == [7]


def test_out_of_memory_with_one_lane_is_one_clear_error(data, tmp_path, monkeypatch):
    exhausted_above(0, monkeypatch)
    with pytest.raises(InputError, match=r"one lane needs .* of memory"):
        fit(given(), data, tmp_path / "run")


def test_other_errors_are_no_lack_of_memory(data, tmp_path, monkeypatch):
    assert not memory.is_exhausted(jax.errors.JaxRuntimeError("INTERNAL: something"))
    assert memory.is_exhausted(MemoryError())
    wrapped = RuntimeError("cannot write")
    wrapped.__cause__ = MemoryError()
    assert memory.is_exhausted(wrapped) and memory.reason(wrapped) == "MemoryError"
    assert not memory.is_exhausted(RuntimeError("RESOURCE_EXHAUSTED"))


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


MOMENTS = [m if m in (1, 3) else pytest.param(m, marks=pytest.mark.slow) for m in range(6)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_while_a_wave_is_split_loses_nothing(data, whole, tmp_path, monkeypatch, moment):
    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        exhausted_above(4, patch, after=2)
        halve = loop._halve

        def dies(*arguments):
            """Die before the given one of: two checkpoints written, run.json told, the old folder deleted; or after."""
            seen = [0]

            def counting(function):
                def counted(*arguments, **options):
                    if seen[0] == moment:
                        raise Killed
                    seen[0] += 1
                    return function(*arguments, **options)

                return counted

            for owner, name in ((Checkpoints, "save"), (tables, "write_json"), (plan.waves, "remove_leftovers")):
                patch.setattr(owner, name, counting(getattr(owner, name)))
            halve(*arguments)
            raise Killed

        patch.setattr(loop, "_halve", dies)
        with pytest.raises(Killed):
            fit(given(), data, path)
    said = fit(given(), data, path)
    assert any("going on from step" in s for s in said)
    assert kept(path)[1] == ([7] if moment < 3 else [4, 3])
    assert_same(path, whole)


def test_a_run_goes_on_where_there_is_less_memory(data, whole, tmp_path, monkeypatch):
    def stop_at_once(self):
        self.received = 15
        return self

    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.StopSignals, "__enter__", stop_at_once)
        patch.setattr(loop.StopSignals, "__exit__", lambda *_: None)
        with pytest.raises(loop.Interrupted):
            fit(given(), data, path)
    room_for(2, monkeypatch, given(), data)
    said = fit(given(), data, path)
    assert any("out of memory with 7 lanes" in s for s in said) and any("going on from step" in s for s in said)
    assert kept(path)[1] == [2, 2, 2, 1]
    assert_same(path, whole)


def test_a_split_wave_holds_the_same_lanes(data):
    (group,) = spec.expand(given(11), SHAPE, len(data))
    plan = waves([group], 4)
    assert [(w.start, w.stop, w.size) for w in plan] == [(0, 4, 4), (4, 8, 4), (8, 11, 4)]
    saved = [wave.to_json() for wave in plan]
    assert read([group], saved) == read([group], [{n: v for n, v in w.items() if n != "size"} for w in saved]) == plan
    halves = [half for wave in plan for half in split(wave)]
    assert [lane for half in halves for lane in half.lanes] == list(range(11)) and {h.size for h in halves} == {2}
    (same,) = split(waves([group], 6)[1].__class__(group, 6, 8, 6))
    assert (same.start, same.stop, same.size) == (6, 8, 3)
