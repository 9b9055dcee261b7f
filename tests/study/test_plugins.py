"""Things of one's own, from outside the package: in Python, by a file, recorded, missing, taken."""

import textwrap

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import models, objectives, plugins
from jaxvae.models.vae import VAE
from jaxvae.objectives import Term
from jaxvae.types import Hyper, InputError, Metric, Range, Size
from tiny_sweep import run_in_process

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def clean():
    """Put every table back as it was."""
    before = [dict(table.data) for table in plugins.TABLES]
    loaded = dict(plugins._loaded)
    yield
    plugins._loaded.clear()
    plugins._loaded.update(loaded)
    for table, entries in zip(plugins.TABLES, before, strict=True):
        table.data = entries  # nothing compiled is forgotten: tests give their things names of their own


OWN = '''
"""An architecture with a size, and a term with a number, of one's own."""
import flax.linen as nn, jax.numpy as jnp
from jaxvae.models import ARCHITECTURES, VAE, Architecture
from jaxvae.objectives import TERMS, Term
from jaxvae.types import Hyper, Range, Size

class Bottleneck(nn.Module):
    width: int
    output: tuple[int, ...]
    keeps_places = False
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(self.width)(x.reshape(len(x), -1))
        return nn.Dense(int(jnp.prod(jnp.array(self.output))))(x).reshape(len(x), *self.output)

def slim(image_shape, latent_dim, dtype, *, slim_width):
    """Build a linear VAE with a bottleneck."""
    return VAE(Bottleneck(slim_width, (2 * latent_dim,)), Bottleneck(slim_width, image_shape))

def shrink(out, extra, critic, hypers, ctx):
    value = (out.q.mean**2).sum(-1).mean()
    return hypers["pull"] * value, {"squared": value}

EVEN = Range("even numbers", lambda value: value % 2 == 0)
ARCHITECTURES["slim"] = Architecture(slim, sizes=(Size("slim_width", 4, EVEN, "units of the bottleneck"),))
PULL = Hyper("pull", 0.5, Range("0 … 9", lambda v: 0 <= v <= 9), "pull to 0")
TERMS["shrink"] = Term("shrink", (PULL,), shrink, "own")
'''.replace("int(jnp.prod(jnp.array(self.output)))", "math.prod(self.output)").replace(
    "import flax", "import math, flax"
)


@pytest.fixture
def own_file(tmp_path, clean):
    path = tmp_path / "my_things.py"
    path.write_text(textwrap.dedent(OWN))
    return path


def test_an_architecture_and_a_term_from_outside_are_swept(images, own_file, tmp_path, capsys):
    """What is declared outside has flags, is checked, listed, recorded and swept like everything else."""
    command = ["--dataset=npz", f"--data_dir={images}", "--architecture=slim", "--objective=kl+shrink",
               "--steps=6", "--lanes=map",
               "--batch_size=8", "--metrics=mig", f"--plugins={own_file}", f"--workdir={tmp_path / 'run'}"]  # fmt: skip
    assert run_in_process(*command, "--sweep=pull=0,10") == 2
    assert "--sweep=pull=0,10: pull takes 0 … 9, got 10" in capsys.readouterr().err
    assert run_in_process(*command, "--slim_width=3") == 2
    assert "--slim_width takes even numbers, got 3" in capsys.readouterr().err
    assert run_in_process(*command, "--list") == 0
    listed = capsys.readouterr().out
    assert "--slim_width = 4: units of the bottleneck (even numbers)" in listed
    assert "pull = 0.5: pull to 0 (0 … 9)" in listed and "Build a linear VAE with a bottleneck." in listed
    assert run_in_process(*command, "--sweep=pull=0,4", "--slim_width=6", "--lr=0.01") == 0
    sweep = jaxvae.load_sweep(tmp_path / "run")
    assert [lane["pull"] for lane in sweep.lanes] == [0, 4] and "squared" in sweep.history
    assert sweep.spec["sizes"] == {"slim_width": 6} and sweep.spec["plugins"] == [str(own_file)]
    assert sweep.model(1).params["encoder"]["Dense_0"]["kernel"].shape == (64, 6)


def test_a_sweep_whose_plugin_is_gone_says_so(images, own_file, tmp_path, clean, capsys):
    command = ["--dataset=npz", f"--data_dir={images}", "--steps=2", "--batch_size=8", "--metrics=mig", "--lanes=map",
               f"--plugins={own_file}"]  # fmt: skip
    term, architecture = tmp_path / "term", tmp_path / "architecture"
    assert run_in_process(*command, "--architecture=mlp", "--objective=kl+shrink", f"--workdir={term}") == 0
    assert run_in_process(*command, "--architecture=slim", "--objective=vae", f"--workdir={architecture}") == 0
    del objectives.TERMS["shrink"], models.ARCHITECTURES["slim"]
    plugins._loaded.clear()
    pictures = np.load(images)["images"][..., None]
    assert jaxvae.load_sweep(term).model(0).encode(pictures)[0].shape == (32, 10)  # its architecture is known
    assert "mig" in jaxvae.load_sweep(term).results[0]
    assert jaxvae.load_sweep(term).plot("training_curves") is not None
    with pytest.raises(InputError, match=f"'shrink'.*trained with plug-ins; load them first: {own_file}"):
        jaxvae.load_sweep(term).rescore("mig")
    with pytest.raises(InputError, match=f"lane 0 cannot be opened: unknown architecture 'slim'.*{own_file}"):
        jaxvae.load_sweep(architecture).model(0)
    capsys.readouterr()
    assert run_in_process(f"--workdir={architecture}", "--metrics=active_units") == 2  # a folder runs no code
    assert f"load them first: {own_file}" in capsys.readouterr().err
    assert run_in_process(f"--workdir={architecture}", "--metrics=active_units", f"--plugins={own_file}") == 0
    assert "active_units" in jaxvae.load_sweep(architecture).results[0]


def test_entries_from_python_are_recorded_by_their_module(images, clean):
    def nothing(out, extra, critic, hypers, ctx):
        return jnp.float32(0.0), {}

    objectives.TERMS["nothing"] = Term("nothing", (), nothing, "this test")

    def half(codes, factors, key, test=None):
        return {"half": jnp.float32(0.5)}

    jaxvae.metrics.METRICS["half"] = Metric(half, ("half",), needs_factors=False, reference="this test")
    sweep = jaxvae.train(np.load(images)["images"], objective="vae+nothing", architecture="mlp", steps=2, batch_size=8,
                         lanes="map", metrics="half", say=None)  # fmt: skip
    assert sweep.results[0]["half"] == 0.5 and sweep.spec["plugins"] == [__name__]


def test_a_name_means_one_thing(clean):
    own = Term("own", (), lambda *_: (0.0, {}), "this test")
    with pytest.raises(InputError, match="there is a term 'kl' already"):
        objectives.TERMS["kl"] = own._replace() if hasattr(own, "_replace") else Term("kl", (), own.penalty, "")
    objectives.TERMS["own"] = own
    objectives.TERMS["own"] = own  # the same once more, as when a cell is run again
    with pytest.raises(InputError, match="there is a term 'own' already"):
        objectives.TERMS["own"] = Term("own", (), own.penalty, "another")
    with pytest.raises(InputError, match="calls itself 'own'"):
        objectives.TERMS["other"] = own
    with pytest.raises(InputError, match="of type Term, got function"):
        objectives.TERMS["other"] = lambda: None
    with pytest.raises(InputError, match="takes letters, digits and _"):
        models.ARCHITECTURES["a+b"] = models.ARCHITECTURES["mlp"]
    del objectives.TERMS["own"]
    with pytest.raises(InputError, match="must be a function, got int"):
        jaxvae.report.PLOTS["mine"] = 3


def test_a_name_given_anew_is_compiled_anew(images, clean):
    """A cell that is changed and run again trains what it says now, not what was compiled before."""

    def pull(strength):
        return Term("own", (), lambda out, *_: (strength * out.q.mean.sum(-1).mean(), {}), "this test")

    found = []
    for strength in (0.0, 50.0):
        objectives.TERMS["own"] = pull(strength)
        sweep = jaxvae.train(np.load(images)["images"], objective="vae+own", architecture="mlp", steps=20, lr=1e-2,
                             lanes="map", batch_size=8, metrics=(), say=None)  # fmt: skip
        found.append(float(sweep.model(0).encode(np.load(images)["images"][..., None])[0].mean()))
        del objectives.TERMS["own"]
    assert found[1] < found[0] - 0.5


BROKEN = {
    "fails": ("raise RuntimeError('no such luck')", "in line 1: RuntimeError: no such luck"),
    "syntax": ("x = (", "in line 1: SyntaxError"),
    "taken": ("from jaxvae.objectives import *\nTERMS['kl'] = Term('kl', (), print, '')", "in line 2: .*'kl' already"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_plugin_that_fails_is_refused_and_leaves_nothing(case, tmp_path, clean, capsys):
    text, words = BROKEN[case]
    (tmp_path / "bad.py").write_text(text)
    before = dict(objectives.TERMS.data)
    with pytest.raises(InputError, match=words):
        jaxvae.load_plugins([str(tmp_path / "bad.py")])
    assert objectives.TERMS.data == before
    assert run_in_process(f"--plugins={tmp_path / 'bad.py'}") == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "bad.py" in message


@pytest.mark.parametrize("name", ["nowhere.py", "no_such_module_of_mine"])
def test_a_plugin_that_is_not_there_is_refused(name, clean):
    with pytest.raises(InputError, match=name):
        jaxvae.load_plugins([name])


def test_a_size_of_two_meanings_is_refused(clean):
    for name, default in (("first", 4), ("second", 8)):
        size = Size("own_width", default, Range("any", lambda v: True), f"of the {name}")
        objectives.TERMS[name] = Term(name, (), lambda *_: (0.0, {}), "this test", sizes=(size,))
    with pytest.raises(InputError, match="'own_width' is declared twice"):
        jaxvae.train("mini_sprites", objective="vae+first+second")


def test_module_plugins_are_found_in_the_current_folder(tmp_path, monkeypatch, clean):
    (tmp_path / "own_module_of_a_test.py").write_text(
        "from jaxvae.objectives import TERMS, Term\nTERMS['of_module'] = Term('of_module', (), print, 'own')"
    )
    monkeypatch.chdir(tmp_path)
    assert plugins.load(["own_module_of_a_test"]) == ("own_module_of_a_test",)
    assert "of_module" in objectives.TERMS and plugins.load(["own_module_of_a_test"])  # twice does no harm


def test_the_record_of_types_is_enough_for_an_architecture(images, clean):
    """Without any file, in Python alone."""

    class Linear(nn.Module):
        output: tuple[int, ...]
        keeps_places = False

        @nn.compact
        def __call__(self, x):
            return nn.Dense(int(np.prod(self.output)))(x.reshape(len(x), -1)).reshape(len(x), *self.output)

    models.ARCHITECTURES["linear"] = models.Architecture(
        lambda shape, latents, dtype: VAE(Linear((2 * latents,)), Linear(shape))
    )
    objectives.TERMS["owned"] = Term(
        "owned", (Hyper("own_weight", 1.0, Range("0 … 1", lambda v: 0 <= v <= 1), "weight"),),
        lambda out, extra, critic, hypers, ctx: (hypers["own_weight"] * out.q.kl.sum(-1).mean(), {}), "this test",
    )  # fmt: skip
    sweep = jaxvae.train(np.load(images)["images"], objective="vae+owned", architecture="linear", steps=3,
                         sweep={"own_weight": [0, 1]}, lanes="map", batch_size=8, metrics="active_units",
                         say=None)  # fmt: skip
    assert len(sweep.results) == 2 and all(row["status"] == "ok" for row in sweep.results)
