"""A folder of images is taken as a viewer shows it on a white page; subfolders are labels."""

import numpy as np
import PIL.Image
import pytest

from jaxvae.data import DataError, load

GREY = np.array([[0, 60, 120, 180], [20, 80, 140, 200], [40, 100, 160, 255]], np.uint8)
"""A picture of 3 rows and 4 columns, no two pixels the same."""
COLOURS = np.stack([GREY, 255 - GREY, GREY // 2], -1)
ALPHA = np.array([[0, 255, 255, 0]] * 3, np.uint8)


def only(folder):
    """Return the one image of a folder, as integers."""
    (image,) = np.asarray(load("folder", data_dir=folder).images([0]))
    return image.astype(int)


def save(folder, picture, name="a.png", **options):
    if isinstance(picture, np.ndarray):
        picture = PIL.Image.fromarray(picture)
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / name, **options)
    return folder


def refused(folder, *words):
    with pytest.raises(DataError) as caught:
        load("folder", data_dir=folder)
    for word in words:
        assert str(word) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "webp", "tiff"])
def test_transparent_parts_are_white(suffix, tmp_path):
    lossless = {"lossless": True, "exact": True} if suffix == "webp" else {}
    save(tmp_path, np.dstack([COLOURS, ALPHA]), f"a.{suffix}", **lossless)
    np.testing.assert_array_equal(only(tmp_path), np.where(ALPHA[..., None] > 0, COLOURS, 255))


def test_a_shape_that_only_alpha_has_is_seen(tmp_path):
    save(tmp_path, np.dstack([np.zeros((3, 4, 3), np.uint8), ALPHA]))
    np.testing.assert_array_equal(only(tmp_path)[..., 0], 255 - ALPHA)


def test_half_transparent_is_half_white(tmp_path):
    save(tmp_path, np.dstack([0 * COLOURS, np.full((3, 4), 51, np.uint8)]))
    np.testing.assert_array_equal(only(tmp_path), np.full((3, 4, 3), 204))


def test_grey_with_transparency_stays_grey(tmp_path):
    save(tmp_path, np.dstack([GREY, ALPHA]))
    np.testing.assert_array_equal(only(tmp_path), np.where(ALPHA > 0, GREY, 255)[..., None])


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "I;16"])
def test_one_transparent_value_is_white(mode, tmp_path):
    pictures = {"L": GREY, "1": GREY > 120, "RGB": COLOURS, "I;16": 257 * GREY.astype(np.uint16)}
    clear = {"L": 0, "1": 0, "RGB": tuple(map(int, COLOURS[0, 0])), "I;16": 0}[mode]
    save(tmp_path, pictures[mode], transparency=clear)
    shown = np.array(COLOURS if mode == "RGB" else 255 * pictures[mode] if mode == "1" else GREY).astype(int)
    (shown.reshape(3, 4, -1))[(GREY <= 120) if mode == "1" else (GREY == 0)] = 255
    np.testing.assert_array_equal(only(tmp_path), shown.reshape(3, 4, -1))


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_colour_of_a_palette_is_white(suffix, tmp_path):
    picture = PIL.Image.frombytes("P", (4, 3), (GREY > 120).astype(np.uint8).tobytes())
    picture.putpalette([0, 0, 0, 10, 20, 30])
    save(tmp_path, picture, f"a.{suffix}", transparency=0)
    np.testing.assert_array_equal(only(tmp_path), np.where((GREY > 120)[..., None], [10, 20, 30], 255))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_exif_orientation_is_applied(suffix, orientation, tmp_path):
    """A picture of blocks, large enough for JPEG, stored turned by each of the eight orientations."""
    shown = np.kron(GREY, np.ones((8, 8), np.uint8))
    stored = {  # what is stored is turned by the orientation to what is shown
        1: shown, 2: shown[:, ::-1], 3: shown[::-1, ::-1], 4: shown[::-1],
        5: shown.T, 6: np.rot90(shown), 7: shown[::-1, ::-1].T, 8: np.rot90(shown, -1),
    }[orientation]  # fmt: skip
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"jpg": {"quality": 100}, "webp": {"lossless": True}}.get(suffix, {})
    save(tmp_path, np.ascontiguousarray(stored), f"a.{suffix}", exif=exif, **options)
    save(tmp_path, shown, "b.png")  # of the size that is shown, so sizes are compared as they are shown
    image = np.asarray(load("folder", data_dir=tmp_path).images([0]))[0].astype(int)
    assert np.abs(image - shown[..., None]).max() <= 3


def test_16_bit_grey_is_scaled(tmp_path):
    save(tmp_path / "a", 257 * GREY.astype(np.uint16))
    np.testing.assert_array_equal(only(tmp_path / "a")[..., 0], GREY)
    save(tmp_path / "b", 257 * GREY.astype(np.uint16), "a.tiff")
    np.testing.assert_array_equal(only(tmp_path / "b")[..., 0], GREY)
    save(tmp_path / "c", np.array([[0, 128, 129, 385, 386, 65535]], np.uint16))
    np.testing.assert_array_equal(only(tmp_path / "c")[0, :, 0], [0, 0, 1, 1, 2, 255])
    save(tmp_path / "b", COLOURS, "b.png")  # beside colours they become RGB
    data = load("folder", data_dir=tmp_path / "b")
    np.testing.assert_array_equal(data.images([0, 1]), [np.dstack([GREY] * 3), COLOURS])


@pytest.mark.parametrize("suffix", ["jpg", "tiff"])
def test_cmyk_is_rgb(suffix, tmp_path):
    """Cyan takes red away, and so on; no ink is white."""
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255]]], np.uint8)
    picture = PIL.Image.frombytes("CMYK", (64, 16), np.kron(inks, np.ones((16, 16, 1), np.uint8)).tobytes())
    save(tmp_path, picture, f"a.{suffix}", **({"quality": 100, "subsampling": 0} if suffix == "jpg" else {}))
    expected = [[255, 255, 255], [0, 255, 255], [255, 0, 255], [0, 0, 0]]
    np.testing.assert_allclose(only(tmp_path)[8, 8::16], expected, atol=3)


@pytest.mark.parametrize("suffix", ["gif", "tiff", "webp", "png"])
def test_several_pages_or_frames_are_refused_by_name(suffix, tmp_path):
    frames = [PIL.Image.fromarray(np.roll(COLOURS, i, 0)) for i in range(3)]
    save(tmp_path, GREY, "0.png")
    save(tmp_path, frames[0], f"b.{suffix}", save_all=True, append_images=frames[1:])
    refused(tmp_path, tmp_path / f"b.{suffix}", "3 pages or frames", "save each")


def test_a_photograph_that_carries_previews_is_its_first_picture(tmp_path):
    frames = [PIL.Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (200, 10)]
    save(tmp_path, frames[0], "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(only(tmp_path), 200, atol=2)


def test_subfolders_are_labels_in_sorted_order(tmp_path):
    for i, name in enumerate(["cats", "Zebras", "dogs", "cats", "dogs", "cats"]):
        save(tmp_path / name, np.full((3, 4), 40 * i, np.uint8), f"{9 - i}.png")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "read.txt").write_text("no image")
    save(tmp_path / ".cache", GREY)
    save(tmp_path / "cats" / ".thumbnails", GREY)
    save(tmp_path / "cats", GREY[:1], "._a.png")
    data = load("folder", data_dir=tmp_path)
    assert (data.annotation, data.factor_names, data.factor_sizes) == ("labels", ("label",), (3,))
    assert data.unordered == ("label",)
    assert data.factor_values == (("Zebras", "cats", "dogs"),) and data.values_of(0) == ("Zebras", "cats", "dogs")
    assert data.factors[:, 0].tolist() == [0, 1, 1, 1, 2, 2]
    assert np.asarray(data.images(np.arange(6)))[:, 0, 0, 0].tolist() == [40, 200, 120, 0, 160, 80]
    assert "label:3 (Zebras … dogs)" in repr(data)


def test_images_in_several_depths_are_refused(tmp_path):
    save(tmp_path / "cats" / "young", GREY, "kitten.png")
    refused(tmp_path, tmp_path / "cats" / "young" / "kitten.png", "deeper", tmp_path / "cats")
    save(tmp_path / "cats", GREY, "cat.png")
    refused(tmp_path, "kitten.png", "deeper")
    (tmp_path / "cats" / "young" / "kitten.png").unlink()
    assert load("folder", data_dir=tmp_path).factor_values == (("cats",),)
    save(tmp_path, GREY, "other.png")
    refused(tmp_path, "both directly in it (other.png) and below it (cats/cat.png)")
    (tmp_path / "cats").rename(tmp_path / ".cats")
    assert load("folder", data_dir=tmp_path).annotation == "none"


def test_sizes_are_those_that_are_shown(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    save(tmp_path, GREY, "a.png")
    save(tmp_path, GREY, "b.jpg", exif=exif)
    refused(tmp_path, tmp_path / "b.jpg", "3x4", "a.png is 4x3")
