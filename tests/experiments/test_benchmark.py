"""The benchmark: what it counts on paper, what it finds in programs, its PyTorch models, and that it runs."""

import contextlib
import json
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec

import inspect_hlo
import kept
import measuring
import on_paper
import paper_count
import race
import race_scores
import race_writing
import timed_metrics
import ways
from conftest import ROOT
from jaxvae import models, objectives
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.metrics import METRICS
from jaxvae.models import layers
from jaxvae.objectives.factor_vae import permute_latents
from jaxvae.types import Program

BENCHMARK = ROOT / "experiments" / "benchmark"
SHAPES = [(64, 64, 1), (64, 64, 3), (32, 32, 1), (28, 28, 1)]


def shapes(program):
    """Return the shapes of jaxvae's own parameters of one lane."""
    hypers = {n: jnp.float32(v) for n, v in step.hyper_defaults(program).items()} | {"seed": jnp.uint32(0)}
    return jax.eval_shape(lambda h: step.init_state(program, h).params, hypers)


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("objective", ["beta_vae", "factor_vae"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
def test_the_paper_has_as_many_parameters_as_the_networks(architecture, shape, objective):
    program = Program(architecture, objective, shape, latent_dim=7)
    if (count := paper_count.count(program)) is None:
        pytest.skip(f"{architecture} is not counted on paper")
    assert count.parameters == size(shapes(program)) == count.state_bytes // 12


def test_operations_of_an_mlp_are_those_counted_by_hand():
    count = paper_count.count(Program("mlp", "beta_vae", (2, 2, 1), latent_dim=3, batch_size=5))
    first = 2 * 4 * 500
    forward = first + 2 * 500 * 6 + 2 * 3 * 500 + 2 * 500 * 4
    assert count.flops == 5 * (3 * forward - first)
    kernels, biases = 4 * 500 + 500 * 6 + 3 * 500 + 500 * 4, 500 + 6 + 500 + 4
    numbers = 5 * (3 * (4 + 500 + 3 + 500) + 2 * (500 + 6 + 500 + 4) - 4)
    assert count.bytes == 4 * (numbers + 3 * (kernels + biases) - 4 * 500) + 28 * (kernels + biases)


def test_operations_of_convolutions_are_those_counted_by_hand():
    count = paper_count.count(Program("conv", "beta_vae", (16, 16, 1), batch_size=1))
    first = 2 * 16 * 1 * 32 * 64  # 4x4 taps, 8x8 pixels
    encoder = first + 2 * 16 * 32 * 32 * 16 + 2 * 4 * 32 * 64 * 4 + 2 * 4 * 64 * 64 * 1 + 2 * 64 * 256 + 2 * 256 * 20
    up = 2 * 16 * (64 * 64 * 1 + 64 * 32 * 4 + 32 * 32 * 16 + 32 * 1 * 64)
    decoder = 2 * 10 * 256 + 2 * 256 * 64 + up
    assert count.flops == 3 * (encoder + decoder) - first


def test_factor_vae_adds_an_encoder_and_six_passes_of_the_critic():
    small = {"latent_dim": 3, "batch_size": 4, "sizes": {"critic_width": 6, "critic_depth": 2}}
    with_critic, without = (
        paper_count.count(Program("mlp", name, (2, 2, 1), **small)).flops for name in ("factor_vae", "beta_vae")
    )
    encoder = 2 * 4 * 500 + 2 * 500 * 6
    critic = 2 * 3 * 6 + 2 * 6 * 6 + 2 * 6 * 2
    # On codes and on shuffled codes: forward, back to parameters, back to inputs, which shuffled codes do not need.
    assert with_critic - without == 4 * (encoder + 6 * critic - 2 * 3 * 6)


@pytest.mark.parametrize(("objective", "mode"), [("beta_vae", "map"), ("factor_vae", "vmap")])
def test_the_program_for_an_accelerator_is_clean_and_xla_counts_what_the_paper_does(objective, mode):
    sizes = {"critic_width": 64, "critic_depth": 2} if objective == "factor_vae" else {}
    report = inspect_hlo.examine(Program("mlp", objective, (32, 32, 1), batch_size=64, sizes=sizes), 2, mode, "cuda")
    assert report["clean"], report
    assert report["given_away"] == report["state_leaves"] > 10
    assert report["operations"]["dot_general"] > 10 and "convolution" not in report["operations"]
    assert 1.0 < report["xla_over_paper_flops"] < 1.25  # elementwise work comes on top
    assert report["xla_over_paper_bytes"] > 1.0


def test_convolutional_programs_are_clean_and_cut_for_the_device_they_are_meant_for():
    program = Program("conv", "beta_vae", (16, 16, 1), batch_size=4)
    report = inspect_hlo.examine(program, 2, "vmap", "cuda")
    assert report["clean"], report
    assert report["operations"]["while"] == 1  # the loop over steps; layers loop over blocks of images on CPUs only
    assert report["xla_over_paper_flops"] > 1.0


def test_what_should_not_be_in_a_program_is_found():
    def grouped(x, kernel):
        return jax.lax.conv(x, kernel, (1, 1), "SAME")

    many = jax.jit(jax.vmap(grouped)).lower(jnp.zeros((2, 1, 3, 8, 8)), jnp.zeros((2, 3, 3, 3, 3)))
    assert "grouped convolutions" in inspect_hlo.findings(many.as_text())
    one = jax.jit(grouped).lower(jnp.zeros((1, 3, 8, 8)), jnp.zeros((3, 3, 3, 3)))
    assert inspect_hlo.findings(one.as_text()) == {}

    mesh, split = Mesh(np.array(jax.devices()[:2]), ("d",)), PartitionSpec("d")
    summed = jax.shard_map(lambda x: jax.lax.psum(x, "d"), mesh=mesh, in_specs=split, out_specs=PartitionSpec())
    lowered = jax.jit(summed).lower(jnp.zeros(4))
    for text in (lowered.as_text(), lowered.compile().as_text()):
        assert inspect_hlo.findings(text)["collectives"] == ["all_reduce"]

    called = jax.jit(lambda x: jax.pure_callback(np.sin, x, x)).lower(jnp.zeros(4))
    for text in (called.as_text(), called.compile().as_text()):
        assert any("callback" in name for name in inspect_hlo.findings(text)["calls"])

    sent = '%1 = "stablehlo.outfeed"(%0, %token)\n %2 = token[] infeed(%3)'
    assert inspect_hlo.findings(sent)["host transfers"] == ["infeed", "outfeed"]


def test_contestants_take_turns():
    order = []
    rates = measuring.in_turn({name: lambda n, name=name: order.append(name) for name in "AB"}, 0.0, repeats=3)
    assert order[-6:] == ["A", "B"] * 3
    assert {name: len(found) for name, found in rates.items()} == {"A": 3, "B": 3}


def test_calls_take_turns_and_slow_ones_are_not_called_twice_for_one_time(monkeypatch):
    clock, order = [0.0], []
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: clock[0])

    def call(name, seconds):
        order.append(name)
        clock[0] += seconds

    work = {"fast": lambda: call("fast", 1.0), "slow": lambda: call("slow", 100.0)}
    found = measuring.calls_in_turn(work, 2.0, 3, most=1e9)
    assert found == {"fast": [1.0] * 3, "slow": [100.0] * 3}
    assert order == ["fast", "slow", *["fast"] * 2, *["fast", "fast", "slow"] * 2]
    assert measuring.calls_in_turn(work, 2.0, 3, most=50.0) == {"fast": [1.0], "slow": [100.0]}


def test_metrics_are_timed_against_their_restatements():
    """Of those that need factors; the others are a line of NumPy."""
    assert {"beta_vae", "factor_vae", "mig", "dci"} <= set(timed_metrics.references())


@pytest.mark.parametrize(
    ("objective", "architecture", "shape"),
    [
        ("beta_vae", "conv", (64, 64, 1)),
        ("beta_vae", "conv", (32, 32, 3)),
        ("beta_vae", "burgess", (64, 64, 1)),
        ("beta_vae", "burgess", (32, 32, 3)),
        ("beta_vae", "resnet", (64, 64, 1)),
        ("beta_vae", "resnet", (28, 28, 3)),
        ("beta_vae", "mlp", (8, 8, 1)),
        ("beta_vae", "mlp_dsprites", (8, 8, 1)),
        *((objective, "conv", (32, 32, 1)) for objective in ("factor_vae", "beta_tcvae", "dip_vae_ii")),
        *((objective, "mlp", (8, 8, 1)) for objective in ("vae", "factor_vae", "beta_tcvae", "dip_vae_ii")),
    ],
)
def test_pytorchs_model_is_ours(architecture, shape, objective):
    torch = pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    import peer_torch

    torch.set_num_threads(1)  # several wait for each other where other work runs
    batch, latents = 4, 5
    sizes = {"latent_dim": latents, "batch_size": batch, "sizes": {"critic_width": 32, "critic_depth": 3}}
    program = Program(architecture, objective, shape, **sizes)
    rng = np.random.default_rng(0)  # biases too: at zero they would not show where they go
    params = jax.tree.map(
        lambda s: rng.normal(0, np.prod(s.shape[:-1]) ** -0.5 if s.ndim > 1 else 0.1, s.shape).astype(np.float32),
        shapes(program),
    )
    defaults = step.hyper_defaults(program)
    others = {"alpha": 2.0, "beta": 3.0, "gamma": 7.0, "lambda_od": 4.0, "lambda_d_factor": 0.5}  # each another
    hypers = defaults | {name: value for name, value in others.items() if name in defaults}

    key = jax.random.key(1)
    images = jax.random.uniform(key, (batch, *shape)).round()
    other = jax.random.normal(jax.random.fold_in(key, 2), (batch, latents))
    out = jax.jit(models.build(program).apply)({"params": params["vae"]["model"]}, images, key)
    context = objectives.Context(program, 0, 100, key, jnp.zeros((batch, 0), jnp.int32), lambda: other)
    penalty, logs = objectives.objective(objective).penalty(out, {}, params["critic"], hypers, context)
    ours = models.likelihood(program).nll(out.logits, images, hypers).mean() + penalty

    pixels = np.zeros((100, *shape), np.uint8)  # as many as the context says there are
    peer = peer_torch.Peer(program, pixels, False, hypers)
    peer.load(params)
    assert peer.num_parameters == {
        **{part: size(params["vae"]["model"][part]) for part in ("encoder", "decoder")},
        "critic": size(params["critic"]),
    }
    noise = (out.q.z - out.q.mean) / jnp.exp(0.5 * out.q.logvar)
    shuffled = permute_latents(jax.random.fold_in(key, 1), other)  # the term is the objective's second
    given = [torch.tensor(np.array(a)) for a in (jnp.moveaxis(images, 3, 1), noise, shuffled)]
    total, cross_entropy = peer.loss(*given)
    assert total.item() == pytest.approx(float(ours), rel=1e-5)
    if objective == "factor_vae":
        assert cross_entropy.item() == pytest.approx(float(logs["critic_loss"]), rel=1e-5)
        # One backward pass with constants, as compiled, gives both players what two passes give them.
        apart = torch.autograd.grad(total, peer.vae_parameters, retain_graph=True)
        apart += torch.autograd.grad(cross_entropy, peer.critic_parameters)
        peer.compiled = True
        together = torch.autograd.grad(sum(peer.loss(*given)), peer.vae_parameters + peer.critic_parameters)
        for one, two in zip(apart, together, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("objective", ["beta_vae", "factor_vae"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_pytorchs_model_learns_from_bits(objective, channels_last):
    pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    import peer_torch

    program = Program(
        "conv", objective, (16, 16, 1), batch_size=16, latent_dim=3, sizes={"critic_width": 16, "critic_depth": 2}
    )
    drawn = np.random.default_rng(0).random((4, 16, 16, 1)) < 0.5
    packed = np.packbits(drawn.reshape(4, -1), axis=-1)
    hypers = step.hyper_defaults(program) | {"lr": 1e-3, "beta": 1.0, "gamma": 1.0}
    peer = peer_torch.Peer(program, packed, True, hypers, channels_last=channels_last, threads=1)
    seen = peer.batch().permute(0, 2, 3, 1).numpy()
    assert {image.tobytes() for image in seen} <= {image.tobytes() for image in drawn.astype(np.float32)}
    before = peer.run(5)
    peer.run(40)
    assert peer.run(5) < 0.9 * before


def test_pytorchs_model_refuses_what_it_would_get_wrong():
    pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    import peer_torch
    import torch_networks

    with pytest.raises(ValueError, match="halved"):
        torch_networks.networks("conv", (28, 28, 1), 10)
    with pytest.raises(ValueError, match="factor_vae"):
        peer_torch.Peer(Program("mlp", "annealed_vae", (8, 8, 1)), np.zeros((1, 8, 8, 1), np.uint8), False, {})


def race_lines():
    """Return lines as a race of two betas and two seeds would write them."""
    job = {"models": 4, "architecture": "conv", "dataset": "sprites", "steps": 10, "batch_size": 8, "held_out": 100}
    about = {"suite": "race", "job": job, "ran": "2026-01-01 00:00:00"}
    lines = []
    for start, scale in (("cold", 2.0), ("warm", 1.0)):
        ours = about | {"run": start, "implementation": "jaxvae", "start": start, "measured": 1, "times": 1}
        scores = [("dci", 1.0), *((name, 0.5) for name in ("mig", "sap", "factor_vae", "beta_vae"))]
        for part, seconds in (("start", 1.0), ("training", 4.0), ("encoding", 2.0), *scores):
            lines.append(ours | {"part": part, "seconds": scale * seconds})
    theirs = about | {"implementation": race.THEIRS, "measured": 1, "times": 1}
    lines += [theirs | {"run": run, "part": "start", "seconds": 2.0} for run in ("training", "dci", "scores")]
    many = theirs | {"measured": 2, "times": 4}
    for run, part, seconds in (("training", "training", 8.0), ("training", "encoding", 2.0), ("dci", "dci", 40.0)):
        lines.append(many | {"run": run, "part": part, "seconds": seconds})
    scores = ("mig", "sap", "factor_vae", "beta_vae")
    return [*lines, *(many | {"run": "scores", "part": name, "seconds": 1.0} for name in scores)]


def test_the_races_parts_add_up_and_what_is_taken_times_the_models_is_said(tmp_path):
    lines = race_lines()
    found = race_writing.contestants(lines)
    totals = {who: sum(parts.values()) for who, parts in found.items()}
    assert totals == {"jaxvae, cold": 20.0, "jaxvae, warm": 10.0, race.THEIRS: 60.0}
    table = race_writing.table(lines)
    assert "| all | 20.0 | 10.0 | 60.0 |  | 3.0 x / 6.0 x |" in table
    assert "| training | 8.0 | 4.0 | 8.0 | 2, times 4 | 1.0 x / 2.0 x |" in table
    assert "| DCI | 2.0 | 1.0 | 40.0 | 2, times 4 | 20.0 x / 40.0 x |" in table
    race_writing.save_figure(lines, tmp_path / "race.png")
    assert (tmp_path / "race.png").stat().st_size > 10_000


def test_a_contestant_of_which_a_part_is_missing_is_not_compared(tmp_path):
    lines = [line for line in race_lines() if line["part"] != "encoding" or line["implementation"] == "jaxvae"]
    assert list(race_writing.contestants(lines)) == ["jaxvae, cold", "jaxvae, warm"]
    assert "theirs over ours" not in race_writing.table(lines)
    race_writing.save_figure(lines, tmp_path / "race.png")
    assert not (tmp_path / "race.png").exists()


def test_runs_of_the_race_are_reread_where_job_machine_and_versions_are_the_same(tmp_path):
    job = race.QUICK
    machine = {"device": "one", "versions": {"jax": "1", "torch": "2"}}
    line = {"suite": "race", "run": "dci", "job": job.told(), "ran": "1", "seconds": 1.0} | machine
    others = [
        line | {"device": "another"},
        line | {"versions": {"jax": "1", "torch": "3"}},
        line | {"job": job.told() | {"steps": 7}},
        line | {"run": "scores"},
        {"suite": "train"},
    ]
    path = tmp_path / "results.jsonl"
    assert race.kept_lines(path, job, machine, ["dci"]) == []
    newest = [line | {"ran": "2", "part": part} for part in ("start", "dci")]
    path.write_text("\n".join(json.dumps(each) for each in [line, *newest, *others]))
    assert race.kept_lines(path, job, machine, ["dci"]) == newest


def test_the_races_job_is_a_command_that_is_taken():
    job = race.Job()
    chosen = {flag.partition("=")[0]: flag.partition("=")[2] for flag in job.flags()}
    assert job.models == 24 and chosen["--steps"] == "1200" and chosen["--lr"] == "0.002"
    asking = [sys.executable, str(ROOT / "run_sweep.py"), *job.flags(), "--workdir=/dev/null/no", "--no_such_flag"]
    done = subprocess.run(asking, capture_output=True, text=True)
    assert "no_such_flag" in done.stderr and len(re.findall("Unknown command line flag", done.stderr)) == 1


def test_scores_of_any_rows_are_those_of_a_grid():
    from reference import disentanglement

    sizes = (3, 4, 6)
    values = np.stack(np.unravel_index(np.arange(72), sizes), axis=1)
    random = np.random.default_rng(0)
    noise = random.normal(size=(72, 4))
    codes = np.concatenate([values[:, :2], noise[:, :2]], axis=1) + 2.0 * noise  # two factors known, one not
    held = random.integers(3, size=50)
    rows = random.integers(72, size=50)
    found = race_scores.Rows(values).sharing(random, held, rows, 20)
    assert (values[found, held[:, None]] == values[rows, held][:, None]).all()
    assert len(np.unique(found)) > 60  # and nothing else is held
    for score in ("factor_vae", "beta_vae"):
        of_rows = getattr(race_scores, score)(codes, values, np.random.default_rng(1))
        of_grid = getattr(disentanglement, score)(codes, sizes, np.random.default_rng(2))
        assert 0.4 < of_grid < 0.99
        assert of_rows == pytest.approx(of_grid, abs=0.03)


def test_another_model_begins_in_the_place_of_the_last_one():
    torch = pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    import peer_torch

    program = Program("mlp", "beta_vae", (8, 8, 1), batch_size=4, latent_dim=3)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    peer = peer_torch.Peer(program, pixels, False, {"lr": 1e-2, "beta": 1.0}, threads=1)
    images, noise = torch.rand(4, 1, 8, 8), torch.randn(4, 3)
    peer.begin({"lr": 1e-2, "beta": 1.0}, seed=3)
    first = peer.loss(images, noise)[0].item()
    peer.run(5)
    assert peer.loss(images, noise)[0].item() != pytest.approx(first, rel=1e-3)
    peer.begin({"lr": 1e-2, "beta": 1.0}, seed=3)
    assert peer.loss(images, noise)[0].item() == first
    peer.begin({"lr": 1e-2, "beta": 100.0}, seed=3)
    assert peer.loss(images, noise)[0].item() > first
    # Codes of a number of images that batches do not divide, the last batch again in part.
    whole = peer.codes(pixels, 10)
    np.testing.assert_allclose(peer.codes(pixels, 4), whole, rtol=1e-5, atol=1e-6)
    assert whole.shape == (10, 3)


def run(tmp_path, *arguments):
    """Run the benchmark in a process of its own and return its lines."""
    command = [sys.executable, str(BENCHMARK), "--quick", f"--out={tmp_path}", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]


def test_flag_files_are_read():
    # In a process of its own: the benchmark and run_sweep.py have flags of the same names.
    reading = "import sys, importlib.util as u; s = u.spec_from_file_location('b', '__main__.py'); "
    reading += (
        "b = u.module_from_spec(s); s.loader.exec_module(b); b.FLAGS(sys.argv); print(b.FLAGS.lanes, b.FLAGS.suite)"
    )
    for path in sorted(BENCHMARK.glob("*.flags")):
        command = [sys.executable, "-c", reading, f"--flagfile={path}"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARK)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split("\n")[0] == "['1', '64'] ['train', 'ways', 'anchors', 'scale', 'start']"


def check(lines):
    """Check what every line must carry."""
    for line in lines:
        assert {"suite", "device", "platform", "devices", "versions", "commit", "time"} <= line.keys()
        assert {"matmul_float32_flop_per_s", "bandwidth_bytes_per_s"} <= line.keys()
        assert "jax" in line["versions"] and "error" not in line
    assert lines[0]["suite"] == "machine"


@pytest.mark.slow
def test_the_quick_benchmark_writes_lines_a_table_and_a_figure(tmp_path):
    lines = run(tmp_path, "--suite=train,start", "--repeats=1")
    check(lines)
    trained = [line for line in lines if line["suite"] == "train"]
    assert [line["lanes"] for line in trained] == [1, 2]
    for line in trained:
        assert line["mode"] in ("map", "vmap") and line["implementation"] == "jaxvae"
        assert line["images_per_s"]["median"] == pytest.approx(64 * line["lane_steps_per_s"]["median"], rel=1e-2)
        assert line["share_of_matmul"] > 0 and line["share_of_bandwidth"] > 0
    started = [line for line in lines if line["suite"] == "start"]
    assert [line["cache"] for line in started] == ["cold", "warm"]
    assert {"import_s", "compile_s", "step_s", "total_s"} <= started[0]["seconds"].keys()
    table = (tmp_path / "table.md").read_text()
    assert "mlp beta_vae" in table and "1 lane" in table and "cold" in table
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.slow
def test_the_quick_benchmark_of_whole_jobs_says_where_their_time_goes(tmp_path):
    lines = [line for line in run(tmp_path, "--suite=job", "--repeats=1") if line["suite"] == "job"]
    assert [(line["job"], line["cache"]) for line in lines] == [
        (job, cache) for job in ("quickstart", "study of 24 lanes") for cache in ("cold", "warm")
    ]
    for line in lines:
        spent = {name: found["median"] for name, found in line["seconds"].items()}
        parts = sum(seconds for name, seconds in spent.items() if name not in ("whole", "first line"))
        assert 0.8 * spent["whole"] < parts <= spent["whole"] + 0.1
    assert "others / train" in (tmp_path / "table.md").read_text()


@pytest.mark.slow
def test_the_quick_benchmark_scales_and_has_a_peer(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    lines = run(tmp_path, "--suite=train,scale", "--peer=torch", "--objectives=factor_vae")
    check(lines)
    trained = {(line["implementation"], line["lanes"]): line for line in lines if line["suite"] == "train"}
    assert set(trained) == {("jaxvae", 1), ("jaxvae", 2), ("torch eager", 1), ("torch compile", 1)}
    assert trained["jaxvae", 2]["ratio"]["median"] > 0 and trained["jaxvae", 2]["over"].startswith("torch")
    assert [line["devices"] for line in lines if line.get("scaled") == "devices"] == [1, 2]


@pytest.mark.slow
def test_the_quick_benchmark_of_metrics_has_a_line_for_each(tmp_path):
    lines = run(tmp_path, "--suite=metrics", "--repeats=1")
    check(lines)
    ours = [line for line in lines[1:] if line["implementation"] == "jaxvae"]
    assert [(line["metric"], line["lanes"]) for line in ours] == [
        (name, lanes)
        for name, metric in METRICS.items()
        if not metric.of_clusters
        for lanes in (1, 2)
        if lanes == 2 or not metric.of_siblings  # of which all are compared with all
    ]
    timed = {line["metric"] for line in lines[1:] if line["implementation"] != "jaxvae"}
    assert timed == set(timed_metrics.references())
    for line in ours:
        assert line["seconds_per_lane"]["median"] > 0 and line["compile_s"] >= 0
        assert ("ratio" in line) == (line["metric"] in timed)
    assert "`dci`" in (tmp_path / "table.md").read_text()


def test_lines_of_the_same_code_and_settings_are_not_measured_again(tmp_path):
    path, published = tmp_path / "results.jsonl", []

    def lines(**settings):
        return kept.Lines(path, {}, settings, publish=lambda found: published.append(len(found)))

    error = {"suite": "ways", "architecture": "mlp", "objective": "vae", "dtype": "float32", "lanes": 1, "mode": "map"}
    error |= {"implementation": "jaxvae", "error": "none"}
    first = lines(seconds=1)
    assert first.begin("one", {"lanes": [1]})
    first.add(error | {"value": 1})
    assert not path.exists() and not published  # a cell that is cut off leaves nothing
    first.add(error | {"value": 2})
    first.end()
    assert published == [2]
    assert not first.begin("one", {"lanes": [1]}) and first.begin("another", {"lanes": [2]})

    with path.open("a") as file:
        file.write('{"suite": "ways", "cut sh')
    again = lines(seconds=1)
    assert [line["value"] for line in again.all] == [1, 2]
    assert not again.begin("one", {"lanes": [1]}) and again.begin("another", {"lanes": [2]})
    again.add(error | {"value": 3})
    again.end()
    assert [line["value"] for line in kept.read(path, again.setup)] == [1, 2, 3]

    others = lines(seconds=2)
    assert others.all == [] and others.begin("one", {"lanes": [1]})


def test_a_run_that_is_late_begins_nothing(tmp_path, capsys):
    lines = kept.Lines(tmp_path / "results.jsonl", {}, minutes=0.0)
    assert not lines.begin("much", {"lanes": [1]})
    assert "much; the same command goes on there" in capsys.readouterr().out


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (2, 2), (3, 1), (4, 1), (3, 2)])
def test_xlas_convolutions_are_ours(kernel, stride, transposed):
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (2, 8, 8, 3))
    weights = [(jax.random.normal(keys[n], (kernel, kernel, *shape)), jnp.arange(shape[1]) * 0.1) for n, shape in
               enumerate([(3, 5), (5, 2)], 1)]  # fmt: skip

    def run(x, weights):
        return layers.stack(x, weights, [stride, stride], transposed=transposed)

    ours = run(x, weights)
    with ways.WAYS["lax_conv"].patched():
        theirs = run(x, weights)
        found = jax.make_jaxpr(run)(x, weights)
    assert str(found).count("conv_general_dilated") == 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def program_of(way, objective="beta_vae"):
    """Return what a way makes of a sweep of two lanes, as JAX hands it over."""
    program = Program("mlp", objective, (16, 16, 1), batch_size=4, sizes={})
    with contextlib.ExitStack() as stack:
        stack.enter_context(ways.WAYS[way].patched())
        return inspect_hlo.trace(program, 2, "vmap", "cuda").lower(lowering_platforms=("cuda",)).as_text()


def test_ways_change_what_they_say_and_nothing_else():
    text = {way: program_of(way) for way in ("as_it_is", "full_float32", "shared_batch")}
    precisions = {way: set(re.findall(r"dot_general.*precision = \[(\w+)", found)) for way, found in text.items()}
    assert precisions["full_float32"] == {"HIGHEST"} and "DEFAULT" in precisions["as_it_is"]
    # Gathered from bits [1024, 32]: a batch for each lane, or one.
    rows = re.compile(r"stablehlo.gather.*tensor<1024x32xui8>.*-> tensor<([0-9x]+)x32xui8>")
    assert {found for found in rows.findall(text["as_it_is"])} == {"2x4"}
    assert {found for found in rows.findall(text["shared_batch"])} == {"4"}


def test_lanes_are_built_in_a_way_and_train():
    data = assemble("noise", np.random.default_rng(0).integers(0, 2, (32, 8, 8, 1), np.uint8), annotation="none")
    program = Program("mlp", "beta_vae", (8, 8, 1), batch_size=4, latent_dim=2)
    made = ways.build("bfloat16", program, data, 2, "vmap", 0.01)
    made.run(3)
    assert made.program.dtype == "bfloat16"


def test_pytorchs_models_at_once_are_its_models_one_by_one():
    torch = pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    import anchors_torch
    import peer_torch

    torch.set_num_threads(1)
    program = Program("conv", "beta_vae", (16, 16, 1), batch_size=8, latent_dim=3)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1), np.uint8)
    hypers = {"lr": 1e-3, "beta": 2.0}
    many = anchors_torch.VmapPeer(program, pixels, False, hypers, models=2)
    singles = [peer_torch.Peer(program, pixels, False, hypers, seed=number) for number in range(2)]
    images, noise = many.drawn()
    losses = many._losses(tuple(many.weights), images, noise)
    for number, single in enumerate(singles):
        assert losses[number].item() == pytest.approx(single.loss(images[number], noise[number])[0].item(), rel=1e-4)
    many.drawn = lambda: (images, noise)
    many.step()
    single = singles[1]
    single.loss(images[1], noise[1])[0].backward()
    single.optimisers[0].step()
    for name, leaf in single.encoder.named_parameters():
        torch.testing.assert_close(many.weights[0][name][1], leaf, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("objective", ["beta_vae", "factor_vae"])
def test_pytorchs_whole_step_learns(objective):
    torch = pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    import anchors_torch

    torch.set_num_threads(1)
    sizes = {"sizes": {"critic_width": 16, "critic_depth": 2}} if objective == "factor_vae" else {}
    program = Program("mlp", objective, (8, 8, 1), batch_size=16, latent_dim=3, **sizes)
    pixels = np.random.default_rng(0).integers(0, 2, (4, 8, 8, 1), np.uint8) * 255
    hypers = step.hyper_defaults(program) | {"lr": 1e-3, "beta": 1.0, "gamma": 1.0}
    peer = anchors_torch.GraphPeer(program, pixels, False, hypers)
    before = peer.run(5)
    peer.run(60)
    assert peer.run(5) < 0.9 * before
    assert "CUDA" in anchors_torch.why_not(program, graph=True, cuda=False)
    assert ("two" in anchors_torch.why_not(program, graph=False, cuda=True)) == (objective == "factor_vae")


def test_every_term_is_looked_into():
    every = [objectives.objective(name) for name in (*objectives.OBJECTIVES, *inspect_hlo.COMPOSED)]
    assert {term.name for objective in every for term in objective.terms} == set(objectives.TERMS)


def test_a_glance_sees_what_compiling_shows():
    program = Program("conv", "factor_vae", (16, 16, 1), batch_size=4, sizes={"critic_width": 8, "critic_depth": 2})
    seen = inspect_hlo.glance(program, 2, "vmap", "cuda")
    assert seen == {
        "found": {},
        "state_leaves": seen["state_leaves"],
        "given_away": seen["state_leaves"],
        "clean": True,
    }
    with ways.WAYS["lax_conv"].patched():
        assert "grouped convolutions" in inspect_hlo.glance(program, 2, "vmap", "cuda")["found"]
    assert layers._run is not ways.lax_stack


def test_what_a_sweep_takes_is_arithmetic_of_its_pieces():
    pieces = on_paper.Pieces(1e6, 4e6, 1e9, 1e8, 1e8, 40, 1e5, 200, 1e-3)
    one, eight = on_paper.row(1, 12_600, pieces), on_paper.row(8, 12_600, pieces)
    rate = on_paper.QUOTED["lane_steps_per_s"][0]
    assert one["hours of training"] == pytest.approx(12_600 * 300_000 / rate / 3600)
    assert eight["hours of training"] == pytest.approx(one["hours of training"] / 8)
    assert one["lanes at once on each"] == eight["lanes at once on each"] == 256
    assert one["GB on each device"] == pytest.approx(256 * 4e6 / 1e9)
    assert eight["GB a checkpoint"] == pytest.approx(8 * one["GB a checkpoint"]) == 8 * 0.256
    assert one["s from one to the next"] == 15 and eight["s from one to the next"] == pytest.approx(20 * 2.048)
    assert one["million rows of history.csv"] == eight["million rows of history.csv"] == 37.8
    assert one["host messages/s"] == 0 and on_paper.row(64, 60, pieces)["host messages/s"] == 2 * 22
    table = on_paper.markdown(pieces).splitlines()
    assert table[0].count("|") == 2 + len(on_paper.DEVICES) * len(on_paper.LANES)
    assert "37.8" in next(line for line in table if "million rows" in line)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [*models.ARCHITECTURES, *(f"cvae+{name}" for name in models.ARCHITECTURES)])
def test_no_program_for_a_gpu_holds_what_it_should_not(architecture):
    every = list(inspect_hlo.every_program((32, 32, 1), 8, "float32", (architecture,)))
    found = [(objective, sizes, made) for objective, _, sizes, made in every if isinstance(made, Program)]
    refused = [str(made) for *_, made in every if not isinstance(made, Program)]
    assert all(len(reason) > 20 for reason in refused) and len(every) >= len(objectives.OBJECTIVES)
    dirty = {
        (objective, str(sizes)): report
        for objective, sizes, made in found
        if not (report := inspect_hlo.glance(made, 4, "vmap", "cuda"))["clean"]
    }
    assert not dirty
    assert found or architecture == "cvae+nvae"


@pytest.mark.slow
def test_the_quick_benchmark_goes_on_where_it_was(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    asked = ("--suite=ways,anchors", "--peer=torch", "--repeats=1", "--ways=shared_batch,bfloat16")
    check(first := run(tmp_path, *asked))
    assert [line.get("way") for line in first if line["suite"] == "ways"] == ["as_it_is", "shared_batch", "bfloat16"]
    anchors = {line["implementation"]: line["lanes"] for line in first if line["suite"] == "anchors"}
    assert anchors == {"jaxvae": 2, "torch eager, loop": 1, "torch vmap": 2}
    (tmp_path / "table.md").unlink()
    again = run(tmp_path, *asked)
    assert [line["suite"] for line in again[len(first) :]] == ["machine"]
    table = (tmp_path / "table.md").read_text()
    assert "one batch a step for all lanes" in table and "PyTorch vmap, 2 models at once" in table


@pytest.mark.slow
def test_the_quick_race_is_run_by_parts_and_reread(tmp_path):
    pytest.importorskip("torch", reason="PyTorch is only ever a peer")
    first = run(tmp_path, "--suite=race", "--peer=torch", "--race=cold,training,dci,scores")
    check(first)
    ours = [line for line in first if line.get("run") in race.OWN]
    assert {line["part"] for line in ours} == set(race_writing.PARTS)
    assert all(line["seconds"] > -0.01 for line in ours)
    theirs = {line["part"]: line for line in first if line.get("implementation") == race.THEIRS}
    assert set(theirs) == {"start", "compiling", "training", "encoding", "figures", *race.SCORES}
    assert theirs["training"]["times"] == race.QUICK.models and theirs["start"]["times"] == 1
    table = (tmp_path / "table.md").read_text()
    again = run(tmp_path, "--suite=race", "--race=warm")
    assert again[: len(first)] == first and {line.get("run") for line in again[len(first) :]} == {None, "warm"}
    now = (tmp_path / "table.md").read_text()
    assert "jaxvae, warm" not in table and "jaxvae, warm" in now

    def trained(text):  # ours, cold, and theirs: what is reread counts once
        row = next(row for row in text.splitlines() if row.startswith("| training"))
        return [cell.strip() for cell in row.split("|")]

    assert trained(table)[2] == trained(now)[2] and trained(table)[3] in trained(now)
