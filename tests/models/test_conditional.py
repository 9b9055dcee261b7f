"""Conditional VAEs: what labels change and what they do not, in networks, in sweeps and in the models one opens."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import jaxvae
from jaxvae import evaluate, models
from jaxvae.asked import spec
from jaxvae.data import load
from jaxvae.data.grid import assemble
from jaxvae.evaluate.showcases import label_swaps
from jaxvae.lane import step
from jaxvae.latents import HIERARCHICAL
from jaxvae.report.images import plot_label_swaps
from jaxvae.types import InputError, Program, Results, Showcase
from tiny_sweep import run_in_process

# What is compiled here runs once or twice: optimising costs more than it saves.
jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)

SHAPE = (8, 8, 1)
SIZES = (3, 2)
LABELS = jnp.asarray([[0, 1], [2, 0], [1, 1], [2, 1]])


def program(architecture, shape=SHAPE, **changed):
    given = {"objective": "vae", "latent_dim": 3, "label_sizes": SIZES, "batch_size": 8} | changed
    return Program(architecture, image_shape=shape, **given)


@functools.cache
def built(architecture, shape=SHAPE, dtype="float32"):
    """Return (module, variables, images [4, ...]) of a conditional architecture."""
    module = models.build(program(architecture, shape, dtype=dtype))
    images = jax.random.uniform(jax.random.key(0), (len(LABELS), *shape))
    return module, jit(module.init)(jax.random.key(1), images, jax.random.key(2), labels=LABELS), images


@pytest.mark.parametrize("architecture", [name for name in models.ARCHITECTURES if name not in HIERARCHICAL])
@pytest.mark.parametrize("shape", [(64, 64, 3), (28, 28, 1)], ids=str)
def test_every_flat_architecture_can_be_conditional(architecture, shape):
    chosen = program(f"cvae+{architecture}", shape)
    module, key = models.build(chosen), jax.random.key(0)
    images = jnp.zeros((4, *shape))
    variables = jax.eval_shape(functools.partial(module.init, labels=LABELS), key, images, key)
    out = jax.eval_shape(functools.partial(module.apply, labels=LABELS), variables, images, key)
    assert out.logits.shape == (4, *shape) and out.logits.dtype == jnp.float32
    assert all(leaf.shape == (4, 3) and leaf.dtype == jnp.float32 for leaf in out.q)


@pytest.mark.parametrize("architecture", ["cvae+mlp", "cvae+burgess"])
def test_labels_change_the_posterior_and_the_image_and_equal_labels_do_not(architecture):
    module, variables, images = built(architecture)
    same = jnp.broadcast_to(images[:1], images.shape)
    labels = jnp.asarray([[0, 0], [1, 0], [0, 1], [0, 0]])
    apply = jit(module.apply, static_argnames="method")
    mean, logvar = apply(variables, same, labels, method="encode")
    logits = apply(variables, jnp.zeros((4, 3)), labels, method="decode")
    for made in (mean, logvar, logits):
        np.testing.assert_array_equal(made[0], made[3])
        assert jnp.abs(made[0] - made[1]).max() > 1e-3 and jnp.abs(made[0] - made[2]).max() > 1e-3


@pytest.mark.parametrize("architecture", ["mlp", "burgess"])
def test_without_weights_on_the_labels_it_is_the_flat_architecture(architecture):
    """The flat network's weights, and zeros for what the labels come in by: the same posterior and the same image."""
    flat = models.build(program(architecture))
    module, variables, images = built(f"cvae+{architecture}")
    known = jit(flat.init)(jax.random.key(3), images, jax.random.key(2))

    def widened(own, wide):
        """Put zeros behind the inputs (the last axis but one) of the kernels that have become longer."""
        more = [(0, b - a) for a, b in zip(own.shape, wide.shape, strict=True)]
        return jnp.pad(own, more)

    padded = jax.tree.map(widened, known, variables)
    changed = jax.tree.map(lambda a, b: a.shape != b.shape, known, variables)
    assert sum(jax.tree.leaves(changed)) == 2  # the first kernel of the encoder, and of the decoder
    expected = jit(flat.apply)(known, images, jax.random.key(4))
    found = jit(module.apply)(padded, images, jax.random.key(4), labels=LABELS)
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), found, expected)


def test_bfloat16_networks_stay_near_float32():
    low, variables, images = built("cvae+mlp", dtype="bfloat16")
    out = jit(low.apply)(variables, images, jax.random.key(0), labels=LABELS)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(out))
    exact = jit(built("cvae+mlp")[0].apply)(variables, images, jax.random.key(0), labels=LABELS)
    assert 0 < jnp.abs(exact.logits - out.logits).max() < 0.1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cvae", "'cvae' names no networks, .* as in 'cvae.conv'"),
        ("conv+mlp", "names 2 networks"),
        ("cvae+conv+mlp", "names 2 networks"),
        ("cvae+cvae+conv", "a part twice; write 'cvae.conv'"),
        ("mlp+cvae", "is written before it, 'cvae.mlp'"),
        ("cvea+conv", "unknown architecture 'cvea'; did you mean 'cvae'"),
        ("cvae+konv", "did you mean 'conv'"),
        ("cvae+", "unknown architecture ''"),
    ],
)
def test_names_that_mean_nothing_are_refused(name, message):
    for refuse in (models.parse, models.needs_labels, lambda name: models.build(program(name))):
        with pytest.raises(InputError, match=message):
            refuse(name)


def test_what_cannot_be_conditional_is_refused(monkeypatch):
    with pytest.raises(InputError, match="needs labels, and the data has none"):
        models.build(program("cvae+mlp", label_sizes=()))
    with pytest.raises(InputError, match="makes flat VAEs conditional, and this is a HierarchicalVAE"):
        models.build(program("cvae+nvae"))
    conditional = models.build(program("cvae+mlp"))
    monkeypatch.setitem(models.ARCHITECTURES, "other", models.Architecture(lambda *_: conditional))
    with pytest.raises(InputError, match="makes flat VAEs conditional, and this is a ConditionalVAE"):
        models.build(program("cvae+other"))


def test_labels_that_are_missing_are_asked_for():
    module, variables, images = built("cvae+mlp")
    for labels, words in ((None, "none were given"), (LABELS[:, :0], "none were given"), (LABELS[:, :1], "1 columns")):
        with pytest.raises(InputError, match=rf"\[B, 2\] integers in 0 … 2, 0 … 1; {words}"):
            module.apply(variables, images, jax.random.key(0), labels=labels)


def test_label_sizes_reach_conditional_programs_alone():
    chosen = spec.Spec(objectives=("vae",), architectures=("mlp", "cvae+mlp"), dataset="mine")
    flat, conditional = spec.expand(chosen, SHAPE, 100, SIZES)
    assert (flat.program.label_sizes, conditional.program.label_sizes) == ((), SIZES)
    assert conditional.name == "vae_cvae+mlp"
    with pytest.raises(InputError, match=r"architecture 'cvae.mlp' needs labels, and 'mine' has none"):
        spec.expand(chosen, SHAPE, 100)


@pytest.fixture(scope="module")
def squares():
    """Sixty noise images with a bright bar: label one says where it is, label two whether it lies; both known."""
    rng = np.random.default_rng(0)
    labels = np.stack([rng.integers(0, 3, 60), rng.integers(0, 2, 60)], 1)
    images = (rng.random((60, *SHAPE)) * 60).astype(np.uint8)
    for image, (place, lies) in zip(images, labels, strict=True):
        bar = image[..., 0].T if lies else image[..., 0]
        bar[2 * place + 1 : 2 * place + 3] = 250
    return assemble("squares", images, labels, ("place", "lies"), annotation="labels")


def test_lanes_side_by_side_equal_solo_runs(squares):
    chosen = program("cvae+mlp")
    defaults = step.hyper_defaults(chosen)

    def run(hypers):
        body = lambda _, state: step.train_step(chosen, squares, hypers, state)[0]  # noqa: E731
        return jax.lax.fori_loop(0, 4, body, step.init_state(chosen, hypers)).params["vae"]

    lanes = {n: jnp.full(2, v, jnp.float32) for n, v in defaults.items()}
    lanes |= {"seed": jnp.arange(2, dtype=jnp.uint32), "lr": jnp.float32([1e-3, 1e-2])}
    together, alone = jit(jax.vmap(run))(lanes), jit(run)
    for index in range(2):
        solo = alone({n: v[index] for n, v in lanes.items()})
        jax.tree.map(lambda a, b, i=index: np.testing.assert_allclose(a[i], b, atol=2e-4), together, solo)


# --- in a sweep -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(squares, tmp_path_factory):
    """A sweep of a flat and a conditional network, run by the command line."""
    folder = tmp_path_factory.mktemp("conditional")
    pictures = np.asarray(squares.images(np.arange(len(squares))))
    np.savez(folder / "squares.npz", images=pictures, factors=squares.factors, factor_names=list(squares.factor_names))
    status = run_in_process(
        "--dataset=npz", f"--data_dir={folder / 'squares.npz'}", "--objective=vae",
        "--architecture=mlp,cvae+mlp", "--latent_dim=3", "--batch_size=16", "--lr=3e-3", "--steps=250",
        "--log_every=50", "--lanes=map", "--metrics=mig", f"--workdir={folder / 'run'}"
    )  # fmt: skip
    assert status == 0
    return folder / "run"


def test_labels_go_through_training_checkpoints_and_evaluation(finished, squares):
    sweep = jaxvae.load_sweep(finished)
    flat, model = sweep.select(architecture="mlp"), sweep.select(architecture="cvae+mlp")
    assert (flat.label_sizes, model.label_sizes) == ((), SIZES)
    images, labels = np.asarray(squares.batch(np.arange(60))), np.asarray(squares.factors)
    mean, logvar = model.encode(images, labels)
    np.testing.assert_array_equal(model.reconstruct(images, labels), model.decode(mean, labels))
    # Evaluation was told the true labels: its KL is that of these codes.
    kl = 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).sum(1).mean()
    assert sweep.results[1]["kl"] == pytest.approx(float(kl), rel=1e-4)
    # What the labels say is the bar; knowing it, images are likelier.
    assert sweep.results[1]["elbo"] > sweep.results[0]["elbo"] + 1
    drawn = [path.stem for path in (finished / "figures").glob("label_swaps_*.png")]
    assert len(drawn) == 2 and {name.rpartition("_")[2] for name in drawn} == {"place", "lies"}  # of the one such lane
    assert "Labels swapped" in (finished / "report.html").read_text()


def test_swapped_labels_keep_the_code_and_move_the_bar(finished, squares):
    model = jaxvae.load_sweep(finished).select(architecture="cvae+mlp")
    images, labels = np.asarray(squares.batch(np.arange(60))), np.asarray(squares.factors)
    others = np.stack(np.meshgrid(range(3), range(2), indexing="ij"), -1).reshape(-1, 2)
    swapped = np.asarray(model.swap_labels(images, labels, others))
    assert swapped.shape == (60, 6, *SHAPE)
    own = swapped[np.arange(60), 2 * labels[:, 0] + labels[:, 1]]
    np.testing.assert_allclose(own, model.reconstruct(images, labels), atol=1e-6)
    for row, (place, lies) in enumerate(others):
        made = swapped[:, row, ..., 0].mean(0)
        made = made.T if lies else made
        where = [made[2 * other + 1 : 2 * other + 3].mean() for other in range(3)]
        assert np.argmax(where) == place and where[place] > sorted(where)[1] + 0.2
    each = np.broadcast_to(others[0], (60, 1, 2))
    np.testing.assert_allclose(model.swap_labels(images, labels, each)[:, 0], swapped[:, 0], atol=1e-6)
    walk = model.traverse(np.zeros(3), [0.0], labels=[1, 0])
    np.testing.assert_allclose(walk[0], model.decode(np.zeros((1, 3)), [[1, 0]]), atol=1e-6)


def test_models_say_what_labels_they_want(finished, squares):
    sweep = jaxvae.load_sweep(finished)
    flat, model = sweep.model(0), sweep.model(1)
    images, labels = np.asarray(squares.images(np.arange(4))), np.asarray(squares.factors[:4])
    codes = np.zeros((4, 3))
    for call in (
        lambda: model.encode(images),
        lambda: model.decode(codes),
        lambda: model.reconstruct(images),
        lambda: model.traverse(),
    ):
        with pytest.raises(InputError, match=r"'cvae\+mlp' is told labels: give labels .* none were given"):
            call()
    for wrong in (labels[:3], labels[:, :1], labels[:, 0], labels.astype(float), labels + 2, labels - 3):
        with pytest.raises(InputError, match=r"labels \[4, 2\], integers in 0 … 2, 0 … 1; got"):
            model.encode(images, wrong)
    with pytest.raises(InputError, match=r"\[T, K\] or \[4, T, K\], got \(3, 1, 2\)"):
        model.swap_labels(images, labels, np.zeros((3, 1, 2), int))
    for call in (
        lambda: flat.encode(images, labels),
        lambda: flat.decode(codes, labels),
        lambda: flat.swap_labels(images, labels, labels),
    ):
        with pytest.raises(InputError, match="'mlp' is not told labels"):
            call()


def test_data_with_other_labels_is_refused(finished, squares):
    sweep = jaxvae.load_sweep(finished)
    for other in (
        dataclasses.replace(
            squares, factors=squares.factors[:, :0], factor_names=(), factor_sizes=(), annotation="none"
        ),
        dataclasses.replace(squares, factor_sizes=(4, 2)),
    ):
        with pytest.raises(InputError, match=r"was trained with labels of \[3, 2\] values"):
            evaluate.rescore(sweep, names=("active_units",), data=other, say=lambda line: None)


def test_swaps_of_one_label_and_of_long_ones():
    """One label: all images on show. A label of forty values: twelve of them, from the first to the last."""

    class Fake:
        label_sizes = (40,)

        def swap_labels(self, images, labels, others):
            return np.broadcast_to((others / 39.0)[..., None, None], (*others.shape[:2], *SHAPE))

    images, labels = np.zeros((8, *SHAPE), np.float32), np.arange(8)[:, None]
    blank, numbers = np.zeros((40, *SHAPE), np.uint8), np.arange(40)[:, None]
    data = assemble("digits", blank, numbers, ("digit",), annotation="labels")
    data = dataclasses.replace(data, factor_values=(tuple(range(100, 140)),))
    (swap,) = label_swaps(Fake(), images, labels, data)
    assert swap.values[0] == 0 and swap.values[-1] == 39 and len(swap.values) == 12
    np.testing.assert_allclose(swap.images[:, :, 0, 0, 0], np.broadcast_to(swap.values / 39.0, (8, 12)), rtol=1e-6)
    showcase = Showcase("best", 0, images, images, np.zeros((0, 9, *SHAPE)), np.zeros(9), np.zeros(3), swaps=(swap,))
    results = Results({}, {}, [{"lane": 0, "elbo": -1.0}], (), (), ("elbo",), {}, {}, np.zeros((1, 3)), [showcase])
    (figure,) = plot_label_swaps(results).values()
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "image",
        *(str(100 + value) for value in swap.values),
    ]
    # Frames stand where a shown value is an image's own: 0, 4, 7 of 0 … 7.
    assert len(axes.patches) == sum(label in swap.values for label in range(8))
    assert plot_label_swaps(dataclasses.replace(results, showcases=[showcase._replace(swaps=())])) is None


# --- on real digits ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(test_data):
    return [load("mnist", split, test_data("mnist")) for split in ("train", "test")]


def on_digits(digits, architecture, num_steps):
    """Train on digits; return the model that opens what came out."""
    train, _ = digits
    chosen = Program(architecture, "vae", train.shape, batch_size=128, label_sizes=train.factor_sizes)
    hypers = step.hyper_defaults(chosen) | {"lr": 1e-3}
    hypers = {n: jnp.asarray(v, jnp.uint32 if n == "seed" else jnp.float32) for n, v in hypers.items()}

    @jax.jit
    def run(data, hypers):
        body = lambda _, state: step.train_step(chosen, data, hypers, state)[0]  # noqa: E731
        return jax.lax.fori_loop(0, num_steps, body, step.init_state(chosen, hypers))

    return jaxvae.Model(chosen, run(train, hypers).networks, {})


def told_digits(codes, labels):
    """Return the accuracy on the second half of a linear classifier of codes trained on the first."""
    codes, half = StandardScaler().fit_transform(codes), len(codes) // 2
    return LogisticRegression(max_iter=500).fit(codes[:half], labels[:half]).score(codes[half:], labels[half:])


@pytest.mark.slow
def test_codes_of_digits_do_not_know_what_labels_say_and_labels_draw_the_digit(digits):
    train, test = digits
    images, labels = np.asarray(test.batch(np.arange(len(test)))), np.asarray(test.factors)
    flat, model = on_digits(digits, "mlp", 3000), on_digits(digits, "cvae+mlp", 3000)
    known = (
        told_digits(flat.encode(images)[0], labels[:, 0]),
        told_digits(model.encode(images, labels)[0], labels[:, 0]),
    )
    assert known[0] > 0.8 and known[1] < 0.6 * known[0]

    pixels = np.asarray(train.batch(np.arange(20_000))).reshape(20_000, -1)
    judge = LogisticRegression(max_iter=100).fit(pixels, np.asarray(train.factors[:20_000, 0]))
    assert judge.score(images.reshape(len(images), -1), labels[:, 0]) > 0.88
    swapped = np.asarray(model.swap_labels(images[:500], labels[:500], np.arange(10)))
    told = judge.predict(swapped.reshape(5000, -1)).reshape(500, 10)
    assert (told == np.arange(10)).mean() > 0.75  # 0.84 after 4,000 steps; by chance 0.1
