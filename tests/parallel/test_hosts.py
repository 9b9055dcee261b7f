"""Several processes, one sweep: they finish, stop, fail and go on together, and leave what one process would."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from conftest import ROOT, xla_flags
from jaxvae.parallel import hosts
from jaxvae.parallel.lanes import fetch, make_mesh, mesh_of, put_lanes, spread
from jaxvae.types import InputError
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.tables import read_table

STEPS = 1500


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """A sweep of six lanes that trains for a second or two; scored by the metric that is quickest to compile."""
    data = tmp_path_factory.mktemp("data") / "noise.npz"
    np.savez(data, images=np.random.default_rng(0).integers(0, 256, (32, 6, 6), np.uint8))
    return [
        "--dataset=npz", f"--data_dir={data}", "--objective=beta_vae", "--architecture=mlp", "--sweep=beta=1,4",
        "--sweep=seed=0:3", "--latent_dim=3", "--batch_size=8", "--lr=1e-3", f"--steps={STEPS}", "--log_every=100",
        "--lanes=map", "--metrics=active_units", "--eval_every=400",
    ]  # fmt: skip


def start(*arguments, devices):
    return subprocess.Popen(
        [sys.executable, ROOT / "run_sweep.py", *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": xla_flags(devices), "JAX_PLATFORMS": "cpu"} | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_two(*arguments, own=((), ())):
    """Start two processes of two devices each, with the same arguments and each its own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    both = [f"--coordinator={address}", "--num_processes=2"]
    return [start(*arguments, *both, f"--process_id={number}", *own[number], devices=2) for number in range(2)]


def finish(*processes) -> tuple[list[int], list[str], list[str]]:
    """Return exit codes, outputs and errors; a process that hangs fails the test and is killed."""
    try:
        printed = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [p.returncode for p in processes], [out for out, _ in printed], [error for _, error in printed]


def wait_for_checkpoint(workdir: pathlib.Path, processes, *, after: int = 0) -> None:
    deadline = time.monotonic() + 240
    while not any(p.name.isdigit() and int(p.name) > after for p in workdir.glob("checkpoints/*/*/*")):
        if time.monotonic() > deadline or any(process.poll() is not None for process in processes):
            for process in processes:
                process.kill()
            raise AssertionError(finish(*processes))
        time.sleep(0.02)


def assert_same_sweep(a: pathlib.Path, b: pathlib.Path) -> None:
    """Check that two folders hold the same lanes: parameters bit for bit, scores but for rounding of sums."""
    one, other = jaxvae.load_sweep(a), jaxvae.load_sweep(b)
    assert one.lanes == other.lanes and len(one.lanes) == 6
    jax.tree.map(np.testing.assert_array_equal, one.wave(0)[2], other.wave(0)[2])
    histories = [read_table(folder / "history.csv") for folder in (a, b)]
    assert [(r["lane"], r["step"]) for r in histories[0]] == [(r["lane"], r["step"]) for r in histories[1]]
    assert {row["status"] for row in one.results} == {"ok"}
    for name in ("lane", "beta", "seed", "step", "reconstruction", "kl", "active_units"):
        np.testing.assert_allclose([r[name] for r in one.results], [r[name] for r in other.results], rtol=1e-5)


@pytest.fixture(scope="module")
def alone(command, tmp_path_factory):
    """The sweep as one process with four devices trains it."""
    workdir = tmp_path_factory.mktemp("runs") / "alone"
    codes, _, errors = finish(start(*command, f"--workdir={workdir}", "--num_processes=1", devices=4))
    assert codes == [0], errors
    return workdir


@pytest.fixture(scope="module")
def together(command, tmp_path_factory):
    """The sweep as two processes with two devices each train it; their folder and what they printed."""
    workdir = tmp_path_factory.mktemp("runs") / "together"
    codes, outputs, errors = finish(*start_two(*command, f"--workdir={workdir}"))
    assert codes == [0, 0], errors
    return workdir, outputs


def test_two_processes_leave_what_one_does(alone, together):
    workdir, outputs = together
    assert "on 4 cpu devices of 2 processes" in outputs[0] and "report:" in outputs[0] and not outputs[1]
    assert_same_sweep(alone, workdir)
    histories = [jaxvae.load_sweep(folder).history for folder in (alone, workdir)]
    for name in ("loss", "elbo", "active_units"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5, err_msg=name)
    scored = np.isfinite(histories[1]["elbo"])
    assert set(histories[1]["step"][scored]) == {400, 800, 1200, STEPS} and scored.sum() == 4 * 6
    assert "<html" in (workdir / "report.html").read_text() and list((workdir / "figures").glob("*.png"))
    written = {p.name for p in workdir.rglob("ocdbt.process_*")}
    assert written == {"ocdbt.process_0", "ocdbt.process_1"}, "each process writes its own lanes"


def test_stopped_killed_and_resumed_on_other_devices(command, alone, tmp_path):
    workdir = tmp_path / "cut"
    arguments = [*command, f"--workdir={workdir}", "--save_seconds=0.01"]
    processes = start_two(*arguments)
    wait_for_checkpoint(workdir, processes)
    processes[1].send_signal(signal.SIGTERM)
    codes, outputs, errors = finish(*processes)
    assert codes == [128 + signal.SIGTERM] * 2, errors
    assert "saved in" in outputs[0] and not outputs[1]

    saved = max(int(p.name) for p in workdir.glob("checkpoints/*/*/*") if p.name.isdigit())
    assert 0 < saved < STEPS
    processes = start_two(*arguments)
    wait_for_checkpoint(workdir, processes, after=saved)
    processes[0].kill()
    codes, outputs, _ = finish(*processes)
    assert codes[0] == -signal.SIGKILL and f"going on from step {saved:,}" in outputs[0]
    assert codes[1] not in (0, None), "the other one ends by itself"
    assert not (workdir / "report.html").exists(), "it had finished before it was killed"

    codes, outputs, errors = finish(start(*arguments, devices=3))
    assert codes == [0] and "on 3 cpu devices, " in outputs[0] and "going on from step" in outputs[0], errors
    assert_same_sweep(alone, workdir)


def test_an_error_of_the_first_ends_all_and_is_told_once(command, together):
    codes, outputs, errors = finish(*start_two(*command, f"--workdir={together[0]}", "--noresume"))
    assert codes == [2, 2] and "--noresume was given" in errors[0] and errors[0].count("\n") == 1
    assert not errors[1] and not outputs[1]


def test_an_error_of_all_is_told_once(command, tmp_path):
    codes, outputs, errors = finish(*start_two(*command, f"--workdir={tmp_path / 'run'}", "--sweep=betta=1"))
    assert codes == [2, 2] and "did you mean 'beta'" in errors[0] and errors[0].count("\n") == 1
    assert not errors[1] and not outputs[1] and not (tmp_path / "run").exists()


def test_an_error_of_another_is_told_by_the_first(command, tmp_path):
    own = [[], ["--data_dir=/nowhere/x.npz"]]
    codes, _, errors = finish(*start_two(*command, f"--workdir={tmp_path / 'run'}", own=own))
    assert codes == [2, 2] and "process 1: " in errors[0] and "/nowhere/x.npz" in errors[0]
    assert errors[0].count("\n") == 1 and not errors[1]


BAD = [
    ((None, 0, None), "--num_processes must be at least 1"),
    ((None, 2, None), "--num_processes given without --coordinator and --process_id"),
    (("node1:8476", None, None), "--coordinator given without --num_processes and --process_id"),
    ((None, 2, 1), "without --coordinator"),
    ((None, None, 0), "--process_id given without"),
    (("node1", 2, 0), "expected HOST:PORT"),
    (("node1:port", 2, 0), "expected HOST:PORT"),
    (("node1:0", 2, 0), "expected HOST:PORT"),
    (("node1:99999", 2, 0), "expected HOST:PORT"),
    (("node1:8476", 2, 2), "expected 0 … 1 for 2 processes"),
    (("node1:8476", 2, -1), "expected 0 … 1 for 2 processes"),
]


@pytest.mark.parametrize(("given", "words"), BAD)
def test_flags_that_do_not_fit_are_refused_before_anything_starts(given, words, monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", None)
    with pytest.raises(InputError, match=words) as refused:
        hosts.initialise(*given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("coordinator", "at"),
    [("localhost:8476", "localhost:8476"), ("127.0.0.1:1", "127.0.0.1:1"), ("[::1]:1", "[::1]:1"), ("node1:1", None)],
)
def test_a_coordinator_on_this_machine_listens_to_it_alone(coordinator, at, monkeypatch):
    given = {}
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_, **options: given.update(options))
    monkeypatch.setattr(hosts, "_knock", lambda *_, **__: None)
    hosts.initialise(coordinator, 2, 0, lambda line: None)
    assert given["coordinator_bind_address"] == at


def test_a_coordinator_that_cannot_be_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", None)
    monkeypatch.setattr(hosts, "PATIENCE_SECONDS", 0.3)
    with socket.socket() as busy:
        busy.bind(("", 0))
        address = f"localhost:{busy.getsockname()[1]}"
        with pytest.raises(InputError, match=f"no answer from {address}"):
            hosts.initialise(address, 2, 1)
        busy.listen()
        with pytest.raises(InputError, match="Address already in use"):
            hosts.initialise(address, 2, 0)


TASK = {
    "SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "node[1-2]", "SLURM_NTASKS": "4", "SLURM_PROCID": "1",
    "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2",
}  # fmt: skip
MPI = {"OMPI_MCA_orte_hnp_uri": "4096.0;tcp://10.0.0.1:1", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, (1, [])),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, (1, [])),  # salloc
        (TASK | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_NUM_NODES": "1"}, (1, [])),  # its interactive step
        (TASK, (4, None)),  # two tasks a machine: JAX gives each its own device
        (TASK | {"CUDA_VISIBLE_DEVICES": "1"}, (4, [])),  # SLURM has done so already
        (TASK | {"SLURM_STEP_NUM_NODES": "4"}, (4, [])),  # one task a machine has all of its devices
        (MPI, (2, None)),
        (MPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, (2, [])),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, (1, [])),  # some pod, no indexed job
    ],
)
def test_the_environment_counts_only_when_it_has_started_several(environment, found, monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_", "KUBERNETES_", "JOB_", "CUDA_", "TPU_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert hosts._cluster() == found


def test_alone_everything_is_the_identity():
    assert hosts.is_first() and hosts.gather({"a": 1}) == [{"a": 1}] and hosts.by_first(max, 1, 2) == 2
    with pytest.raises(InputError, match="wrong"), hosts.as_one():
        raise InputError("wrong")


def test_lanes_come_back_from_devices_as_they_went():
    host = {"a": np.arange(24.0, dtype=np.float32).reshape(8, 3), "b": np.arange(8)}
    mesh = make_mesh(8)
    there = put_lanes(host, mesh)
    jax.tree.map(np.testing.assert_array_equal, fetch(there), host)
    np.testing.assert_array_equal(fetch(there["a"], lambda lanes: lanes.sum(1)), host["a"].sum(1))
    assert mesh_of(there["a"]) == mesh and mesh_of(host["a"]) is None
    np.testing.assert_array_equal(spread(jnp.arange(5), mesh), [0, 1, 2, 3, 4, 4, 4, 4])


@pytest.fixture
def saved(tmp_path):
    """Six lanes on four devices, padded to eight, saved while the next steps overwrite them; and what they were."""
    mesh = make_mesh(6)
    host = {"weights": np.random.default_rng(0).normal(size=(8, 40_000)).astype(np.float32), "step": np.arange(8)}
    step = jax.jit(lambda state: jax.tree.map(lambda leaf: leaf * 3 + 1, state), donate_argnums=0)
    state = step(put_lanes(host, mesh))
    wanted = jax.tree.map(lambda leaf: np.array(leaf, copy=True), state)
    checkpoints = Checkpoints(tmp_path / "lanes", create=True)
    checkpoints.save(5, state, {"lanes": 6, "seconds": 0.0})
    for _ in range(50):
        state = step(state)
    checkpoints.close()
    return tmp_path / "lanes", wanted


def test_a_save_holds_the_moment_it_was_made(saved):
    directory, wanted = saved
    found, counters = Checkpoints(directory).restore(5)
    assert counters["lanes"] == 6
    jax.tree.map(lambda there, leaf: np.testing.assert_array_equal(there, leaf[:6]), found, wanted)
    only, _ = Checkpoints(directory).restore(5, only=("step",))
    assert list(only) == ["step"]


def test_a_flipped_bit_is_noticed_wherever_it_matters(saved):
    directory, wanted = saved
    victim = max((p for p in directory.rglob("d/*")), key=lambda p: p.stat().st_size)
    raw, noticed = victim.read_bytes(), 0
    for at in np.linspace(0, len(raw) - 1, 40).astype(int):
        victim.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        try:
            found, _ = Checkpoints(directory).restore(5)
        except InputError as error:
            assert "is damaged" in str(error)
            noticed += 1
        else:  # a byte that nothing refers to
            jax.tree.map(lambda there, leaf: np.testing.assert_array_equal(there, leaf[:6]), found, wanted)
    assert noticed > 30
