"""Rendered dSprites: real frames, published networks, and what the geometry promises."""

import csv
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageSequence

import jaxvae
from jaxvae.data import sprites

SQUARE, ELLIPSE, HEART = range(3)


@pytest.fixture(scope="module")
def full():
    return sprites.load_sprites()


@pytest.fixture(scope="module")
def mini():
    return sprites.load_mini_sprites()


def render(*factors, grid=sprites.SPRITES) -> np.ndarray:
    """Return images bool[..., size, size] of factors that broadcast against each other."""
    return np.asarray(sprites.render(np.stack(np.broadcast_arrays(*factors), -1), grid=grid))[..., 0]


def area_and_centroid(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of lit pixels [N] of bool[N, H, W] and their mean (x, y) [N, 2] from the upper left corner."""
    area = images.sum((1, 2))
    pixel = np.arange(images.shape[-1]) + 0.5
    x, y = images.sum(1) @ pixel / area, images.sum(2) @ pixel / area
    return area, np.stack([x, y], -1)


def nearest_sprites(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for frames bool[N, 64, 64], the factors [N, 5] whose sprite differs least and the pixels that differ.

    A sprite at another place keeps its area and its centroid about its centre within a fraction of a pixel, while
    places are more than a pixel apart: so each shape, scale and orientation has one place to try.
    """
    kinds = np.stack(np.indices((3, 6, 40)), -1).reshape(-1, 3)
    area, centroid = area_and_centroid(render(*kinds.T, 0, 0))
    frame_area, frame_centroid = area_and_centroid(frames)
    place = np.rint((frame_centroid[:, None] - centroid) * 31 / 32).astype(int)
    likely = (abs(frame_area[:, None] - area) <= 12) & (place >= 0).all(-1) & (place < 32).all(-1)
    frame, kind = np.nonzero(likely)
    candidates = np.concatenate([kinds[kind], place[frame, kind]], -1)
    differ = np.full(likely.shape, 64 * 64)
    differ[frame, kind] = (render(*candidates.T) != frames[frame]).sum((1, 2))
    best = differ.argmin(1)
    rows = np.arange(len(frames))
    return np.concatenate([kinds[best], place[rows, best]], -1), differ[rows, best]


def test_real_frames_are_matched(test_data):
    gif = Image.open(test_data("dsprites/dsprites.gif"))
    frames = np.stack([np.array(frame.convert("L")) for frame in ImageSequence.Iterator(gif)])
    assert frames.shape == (320, 64, 64) and set(np.unique(frames)) == {0, 255}
    factors, differ = nearest_sprites(frames > 0)
    assert {tuple(row) for row in factors[differ > 0]} <= {(HEART, 5, 19, 0, 0), (HEART, 5, 20, 0, 0)}
    assert differ.max() <= 1


@pytest.mark.parametrize(
    "loss, num_batches",
    [("VAE", 4), *(pytest.param(loss, 16, marks=pytest.mark.slow) for loss in ("betaH", "betaB", "factor", "btcvae"))],
)
def test_published_networks_take_them_for_their_training_data(test_data, loss, num_batches):
    folder = test_data(f"disentangling-vae/{loss}_dsprites")
    with open(folder / "train_losses.log") as log:
        trained = {row["Loss"]: float(row["Value"]) for row in csv.DictReader(log)}  # the last epoch overwrites
    model = jaxvae.load_pretrained(folder)

    # Spread evenly over the grid by an additive recurrence (on powers of the root of x^6 = x + 1), the images give the
    # mean much better than as many drawn independently: betaB's loss varies by 37 nats from image to image.
    root = 1.1347241384015194
    spread = (np.arange(256 * num_batches)[:, None] * root ** -np.arange(1, 6.0) + 0.5) % 1
    images = sprites.render((spread * sprites.SPRITES.factor_sizes).astype(int)).astype(jnp.float32)
    keys, recon, kl = jax.random.split(jax.random.key(0), num_batches), [], []
    for key, batch in zip(keys, jnp.split(images, num_batches), strict=True):
        mean, logvar = model.encode(batch)
        decoded = model.decode(mean + jnp.exp(logvar / 2) * jax.random.normal(key, mean.shape))
        likely = jnp.clip(jnp.where(batch > 0, decoded, 1 - decoded), 1e-30)
        recon.append(-jnp.log(likely).sum((1, 2, 3)))
        kl.append((mean**2 + jnp.exp(logvar) - 1 - logvar).sum(-1) / 2)
    assert np.mean(recon) == pytest.approx(trained["recon_loss"], abs=1.5)
    assert np.mean(kl) == pytest.approx(trained["kl_loss"], abs=0.3)


def test_full_grid(full):
    assert len(full) == 737280 and full.shape == (64, 64, 1) and full.name == "sprites"
    assert full.factor_sizes == (3, 6, 40, 32, 32) and full.factor_names == sprites.FACTOR_NAMES
    assert full.binary and full.pixels.dtype == jnp.uint8 and full.pixels.shape == (737280, 512)
    assert full.complete_grid and full.annotation == "factors" and full.factors.dtype == jnp.int32
    np.testing.assert_array_equal(full.factors[np.array([1, 32, 1024, 40960, 245760])], np.eye(5)[::-1])
    # Every image shows something, and none is cut off at the left or right.
    lit = np.bitwise_or.reduce(np.asarray(full.pixels).reshape(-1, 64, 8), axis=1)
    assert lit.any(1).all() and not (lit[:, 0] & 0x80).any() and not (lit[:, -1] & 1).any()


@pytest.mark.parametrize("name, grid", [("full", sprites.SPRITES), ("mini", sprites.MINI_SPRITES)])
def test_rows_are_what_render_gives(request, name, grid):
    data = request.getfixturevalue(name)
    indices = np.random.default_rng(0).integers(len(data), size=500)
    rendered = sprites.render(data.factors[indices], grid=grid)
    assert rendered.shape == (500, grid.size, grid.size, 1) and rendered.dtype == bool
    np.testing.assert_array_equal(data.images(indices), rendered * np.uint8(255))
    np.testing.assert_array_equal(data.pixels[indices], np.packbits(rendered.reshape(500, -1), axis=-1))
    np.testing.assert_array_equal(data.index(data.factors[indices]), indices)


def test_mini_images_are_all_different(mini):
    assert len(mini) == 24576 and mini.shape == (32, 32, 1) and mini.factor_sizes == (3, 4, 8, 16, 16)
    assert len(np.unique(np.asarray(mini.pixels), axis=0)) == 24576


def test_latent_values():
    values = sprites.LATENT_VALUES
    assert tuple(values) == sprites.FACTOR_NAMES
    assert values["shape"] == (1, 2, 3) and values["scale"] == (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    assert values["orientation"][1] == pytest.approx(0.16110732) and values["orientation"][39] == 2 * math.pi
    assert values["x_position"] == values["y_position"] and values["x_position"][30] == pytest.approx(30 / 31)


def test_alone_in_a_batch_or_mapped():
    factors = np.random.default_rng(1).integers(0, sprites.SPRITES.factor_sizes, (2, 3, 5))
    batch = sprites.render(factors)
    assert batch.shape == (2, 3, 64, 64, 1)
    np.testing.assert_array_equal(batch[1, 2], sprites.render(factors[1, 2]))
    np.testing.assert_array_equal(batch, jax.vmap(jax.vmap(sprites.render))(factors))


@pytest.mark.parametrize("grid", [sprites.SPRITES, sprites.MINI_SPRITES])
def test_lit_are_the_pixels_with_their_centre_inside(grid):
    for factors in np.random.default_rng(2).integers(0, grid.factor_sizes, (30, 5)):
        shape, scale, turn, *place = factors
        vertices = sprites.outlines(grid)[shape][scale, turn].T.astype(int) + sprites.centres(grid)[place]
        vertices = np.floor(vertices / 256 + 0.5).astype(int)  # in 1/256 pixel
        y, x = np.indices((grid.size, grid.size)) * 256 + 128
        inside = np.zeros((grid.size, grid.size), bool)
        for (x1, y1), (x2, y2) in zip(vertices, np.roll(vertices, -1, axis=0), strict=True):
            right_of_it = (x - x1) * (y2 - y1) * np.sign(y2 - y1) >= (y - y1) * (x2 - x1) * np.sign(y2 - y1)
            inside ^= ((y1 <= y) != (y2 <= y)) & right_of_it
        np.testing.assert_array_equal(render(*factors, grid=grid), inside)


def test_a_full_turn_changes_nothing():
    shape, scale = np.indices((3, 6))
    np.testing.assert_array_equal(render(shape, scale, 0, 7, 20), render(shape, scale, 39, 7, 20))


def test_squares_repeat_after_a_quarter_turn_and_ellipses_after_a_half():
    angles = (0.3, 0.3 + math.pi / 2, 0.3 + math.pi)
    grid = sprites.SpriteGrid(64, (0.7, 1.0), angles, 5)
    shape, scale, x, y = np.indices((3, 2, 5, 5))
    first, quarter, half = (render(shape, scale, turn, x, y, grid=grid) for turn in range(3))
    np.testing.assert_array_equal(first[SQUARE], quarter[SQUARE])
    np.testing.assert_array_equal(first[SQUARE], half[SQUARE])
    np.testing.assert_array_equal(first[ELLIPSE], half[ELLIPSE])
    assert (first[ELLIPSE] != quarter[ELLIPSE]).any((-1, -2)).all()
    assert (first[HEART] != half[HEART]).any((-1, -2)).all()


def test_sprites_turn_grow_and_move_as_documented():
    grid = sprites.SpriteGrid(64, (0.5, 1.0), (0.0, math.pi / 2), 3)
    square = render(SQUARE, 1, 0, 1, 1, grid=grid)
    assert square[22:42, 22:42].all() and square.sum() == 20**2, "from 22.4 to 41.6 lie 20 pixel centres"
    heart, turned = render(HEART, 1, 0, 1, 1, grid=grid), render(HEART, 1, 1, 1, 1, grid=grid)
    np.testing.assert_array_equal(heart, heart[:, ::-1])
    assert heart.sum(1).argmax() < 32, "the point of the heart is down"
    assert turned.sum(0).argmax() < 32, "and to the right after a quarter turn counter-clockwise"
    wide, tall = render(ELLIPSE, 1, 0, 1, 1, grid=grid), render(ELLIPSE, 1, 1, 1, 1, grid=grid)
    assert wide.any(0).sum() == tall.any(1).sum() == 26 and wide.any(1).sum() == tall.any(0).sum() == 14
    _, centroid = area_and_centroid(render(SQUARE, [0, 1, 1, 1], 0, [1, 0, 2, 0], [1, 0, 0, 2], grid=grid))
    np.testing.assert_allclose(centroid, [(32, 32), (16, 16), (48, 16), (16, 48)])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((48, (1.0,), (0.0,), 2), "32 or 64 pixels, got size 48"),
        ((64, (1.2,), (0.0,), 2), "at most 1.1"),
        ((64, (0.0,), (0.0,), 2), "above 0"),
        ((64, (1.0,), (0.0,), 1), "at least 2 positions"),
    ],
)
def test_grids_that_cannot_be_drawn(arguments, message):
    with pytest.raises(ValueError, match=message):
        sprites.SpriteGrid(*arguments)
