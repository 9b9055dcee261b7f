"""Nonsense on the command line: one line and code 2 within seconds; and what is odd but right, which goes through."""

import os
import re
import sys
import time

import pytest

from jaxvae import cli, study
from jaxvae.asked import schedules
from tiny_sweep import run_in_process

DEVICE = "/dev/zero"

NONSENSE = [
    # numbers that no arithmetic here has, or that nothing ends with
    ("--steps=3000000000", "--steps must be at most 1,073,741,823"),
    ("--log_every=100000000000000000000", "--log_every must be at most"),
    ("--eval_every=100000000000000000000", "--eval_every must be at most"),
    ("--latent_dim=100000000000000000000", "--latent_dim must be at most 65,536"),
    ("--lr=1e-50", "--lr: 1e-50 is 0 in float32"),
    ("--lr=1e39", "--lr: 1e+39 is more than float32"),
    ("--sweep=lr=1e-50,1e-3", "is 0 in float32"),
    ("--sweep=beta=1e39", "is more than float32"),
    ("--sweep=beta=1,1.00000000001", "are one number in float32"),
    ("--save_seconds=nan", "--save_seconds must be a number of seconds from 0"),
    ("--save_seconds=inf", "--save_seconds must be"),
    ("--save_seconds=-1", "--save_seconds must be"),
    ("--max_lanes=--5", "--max_lanes must be a whole number from 1, or auto"),
    ("--max_lanes=٣", "--max_lanes must be"),
    ("--steps=٣", "in the digits 0 to 9"),
    ("--sweep=seed=٣", "neither a number nor a range"),
    ("--architecture=nvae --groups_per_scale=٣", "expected whole numbers"),
    ("--metrics=", "--metrics= names a metric that has no name"),
    ("--metrics=mig,", "has no name"),
    # grids and networks that would take minutes to refuse
    ("--sweep=seed=0:10000000", "10,000,000 values, and a sweep takes 200,000 lanes at most"),
    ("--sweep=seed=0:10000000000", "10,000,000,000 values"),
    ("--sweep=seed=0:100000000000000000000000000", "more values than can be counted"),
    ("--sweep=seed=0:1000 --sweep=beta=0:10000", "the grid has 10,000,000 lanes"),
    ("--objective=factor_vae --critic_depth=100000", "--critic_depth must be at most 100"),
    ("--objective=factor_vae --critic_width=1000000", "--critic_width must be at most 65,536"),
    ("--objective=vade --num_clusters=10000000000", "--num_clusters must be at most 65,536"),
    ("--architecture=nvae --groups_per_scale=1000000000000", "--groups_per_scale must be at most 64"),
    ("--architecture=nvae --stem_width=400000000000000", "--stem_width must be at most 4,096"),
    # what means nothing
    ("--critic_depth=3", "--critic_depth=3 means nothing to objective beta_vae"),
    ("--objective=factor_vae --batch_size=1", "'tc_critic' of objective 'factor_vae', which compares the images"),
    ("--objective=beta_tcvae --batch_size=1", "'tc_mws'"),
    ("--objective=kl+tc_mss --batch_size=1", "'tc_mss'"),
    ("--objective=factor_vae --latent_dim=1", "which compares latents; it takes at least 2"),
    ("--objective=beta_tcvae --latent_dim=1", "which compares latents"),
    ("--objective=hfvae --latent_dim=1", "which compares latents"),
    ("--sweep=beta=-1", "beta takes numbers from 0, got -1"),
    ("--objective=kl+label_cosine --sweep=label_troughs=-3", "whole numbers from 1, got -3"),
    ("--objective=kl_anisotropic --sweep=learned=7", "shares in 0 … 1, got 7"),
    ("--objective=kl_anisotropic --sweep=log_ratio=1000", "numbers in -80 … 80, got 1000"),
    ("--sweep=seed=-1", "got -1"),
    # axes that mean several things
    (
        "--objective=factor_vae,beta_tcvae,hfvae,annealed_vae --sweep=gamma=1,2",
        "--sweep=factor_vae:gamma=1,2 --sweep=beta_tcvae:gamma=1,2 --sweep=hfvae:gamma=1,2 --sweep=annealed_vae:gamma=",
    ),
    ("--objective=vae,beta_vae --sweep=beta=1,2", "nothing to vae; say for which it is: --sweep=beta_vae:beta=1,2"),
    # files
    ("--flagfile=", "--flagfile= names no file"),
    (f"--flagfile={DEVICE}", "is a device"),
    ("--flagfile=BINARY", "not text in UTF-8"),
    (f"--data_dir={DEVICE}", "a device or a pipe"),
    ("--data_dir=PIPE", "a device or a pipe"),
    ("--workdir=a\x1b[31mb", "a\\x1b[31mb is not a name in UTF-8"),
    ("--workdir=", "--workdir= names no folder"),
    ("--workdir=a\nb", "without control characters"),
    ("--workdir=a\udcffb", "is not a name in UTF-8"),
]


@pytest.fixture
def door(images, tmp_path, monkeypatch):
    """Return a function that runs the command line up to where it would train, and what it would have trained."""
    accepted = []
    running = study.run

    def run(job, path, **options):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(study.running.claiming, "claim", lambda *_, **__: accepted.append(job) or sys.exit(0))
            running(job, path, **options)

    monkeypatch.setattr(study, "run", run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "BINARY").write_bytes(bytes(range(128, 256)))
    os.mkfifo(tmp_path / "PIPE")
    defaults = ["--dataset=npz", f"--data_dir={images}", "--objective=beta_vae", "--batch_size=8", "--architecture=mlp"]
    defaults += ["--compilation_cache=none", "--workdir=run"]
    return lambda *arguments: (run_in_process(*defaults, *arguments), accepted)


@pytest.mark.parametrize(("arguments", "words"), NONSENSE, ids=[repr(arguments) for arguments, _ in NONSENSE])
def test_nonsense_gets_one_line_and_code_2(arguments, words, door, tmp_path, capsys):
    started = time.monotonic()
    split = [arguments] if "workdir" in arguments else arguments.split()
    code, accepted = door(*split)
    printed = capsys.readouterr().err
    assert code == 2 and not accepted
    assert words in printed and printed.count("\n") == 1 and "\x1b" not in printed
    assert time.monotonic() < started + 10
    assert {path.name for path in tmp_path.iterdir()} == {"BINARY", "PIPE"}


RIGHT = [
    "--sweep=seed=4294967295,4294967294",  # one float32, and two seeds
    "--sweep=seed=0:100,7000:7001",
    "--sweep=lr=1e-30,1e30",
    "--sweep=beta=0,1",
    "--sweep=beta=1_000",
    "--steps=1073741823",
    "--latent_dim=1",
    "--batch_size=1",
    "--batch_size=32",
    "--save_seconds=0",
    "--max_lanes=1",
    "--metrics=mig,mig",
    "--log_every=5000 --steps=10",
    "--objective=beta_vae,kl_sparse,kl_clip --sweep=beta=1,4",  # the weight of the KL in all of them
    "--objective=vae,factor_vae --sweep=lr=1e-3,1e-4 --sweep=seed=0:2",
    "--objective=capacity+tc_critic --sweep=tc_critic.gamma=1,2",
    "--objective=factor_vae --critic_depth=100 --critic_width=4",
    "--sweep=beta=1 --sweep=beta=2",
    "--flagfile=FLAGS",
    "--flagfile=/dev/null",
    "--workdir=späße",
]


@pytest.mark.parametrize("arguments", RIGHT)
def test_what_is_odd_but_right_goes_through(arguments, door, tmp_path):
    (tmp_path / "FLAGS").write_text("# größer\n\n--steps=10\n", encoding="utf-8")
    code, accepted = door(*arguments.split())
    assert code == 0 and len(accepted) == 1


def test_a_flag_file_may_be_a_pipe_of_the_shell(door, tmp_path):
    end, begin = os.pipe()
    os.write(begin, b"--steps=12\n")
    os.close(begin)
    try:
        code, accepted = door(f"--flagfile=/dev/fd/{end}")
    finally:
        os.close(end)
    assert code == 0 and accepted[0].spec.steps == 12


def test_two_hundred_thousand_lanes_are_planned_within_seconds(door):
    started = time.monotonic()
    code, accepted = door("--sweep=seed=0:1000", "--sweep=beta=0:200")
    assert code == 0 and accepted[0].groups[0].num_lanes == 200_000
    assert time.monotonic() < started + 10


def test_the_workdir_of_a_typing_error_is_no_quickstart(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study, "check_named", None)
    for extra in (["--metrics=mig"], ["--resume"], ["--data_dir=/data"]):
        assert run_in_process(f"--workdir={tmp_path / 'typo'}", *extra) == 2
        printed = capsys.readouterr().err
        assert "typo holds no sweep, and no flag says what to train there" in printed and printed.count("\n") == 1
    assert not (tmp_path / "typo").exists()


def test_the_bare_command_is_the_quickstart(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(cli, "main", lambda _: asked.append((cli.FLAGS.workdir, cli.FLAGS.dataset)))
    monkeypatch.chdir(tmp_path)
    assert run_in_process() == 0
    assert asked == [("runs/quickstart", "mini_sprites")]


def test_the_quickstart_can_have_a_workdir_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "main", lambda _: None)
    assert run_in_process(f"--workdir={tmp_path / 'first'}", "--steps=10") == 0


def test_a_schedule_that_outlasts_training_is_said_in_one_line(door):
    arguments = ["--objective=annealed_vae,vade,vae", "--steps=5000"]
    _, accepted = door(*arguments, "--sweep=annealed_vae:capacity_steps=500,1e5")
    line = schedules.unfinished(accepted[0].groups, 5000)
    assert "\n" not in line
    assert "capacity in annealed_vae does in 1 of 2 lanes: capacity_steps = 100,000 updates" in line
    assert "of which it sees 5%" in line
    assert "kl_mixture in vade does: pretrain_steps = 10,000 updates, of which it sees 50%" in line
    _, accepted = door("--objective=annealed_vae,vae", "--steps=5000", "--sweep=annealed_vae:capacity_steps=5000")
    assert schedules.unfinished(accepted[-1].groups, 5000) is None


def test_a_history_of_millions_of_rows_is_told_before_training(door):
    _, accepted = door("--steps=5000")
    groups = accepted[0].groups
    lanes = sum(group.num_lanes for group in groups)
    most = schedules.MANY_ROWS // lanes
    assert schedules.long_history(groups, most * 100, 100) is None
    line = schedules.long_history(groups, most * 100 + 100, 100)
    wanted = int(re.search(r"--log_every=(\d+) makes", line)[1])
    assert schedules.long_history(groups, most * 100 + 100, wanted) is None
