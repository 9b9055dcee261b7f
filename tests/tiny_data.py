"""Tiny data in the true formats of their sources, for tests: made here, read by the untouched loaders. No tests inside.

Every image of a factor grid carries its own index in the grid, so that a test can tell which image it was given.
"""

import contextlib
import gzip
import io
import itertools
import math
import struct
import zipfile

import numpy as np
import PIL.Image

DSPRITES_SIZES = (3, 2, 3, 2, 2)
SHAPES3D_SIZES = (2, 2, 3, 2, 2, 2)
DSPRITES_STEM = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64"
SMALLNORB_SPLITS = {
    "smallnorb-5x46789x9x18x6x2x96x96-training": (4, 6),
    "smallnorb-5x01235x9x18x6x2x96x96-testing": (0, 1),
}


def grid(sizes):
    """Return i64[N, K], every combination, last fastest."""
    return np.array(list(itertools.product(*map(range, sizes))))


def numbered(count, *, height=64, width=64, channels=1, on=1):
    """Return uint8[count, height, width, channels] of 0 and `on`: image i has i in binary in its top left corner."""
    images = np.zeros((count, height, width, channels), np.uint8)
    images[:, 0, :16] = (on * ((np.arange(count)[:, None] >> np.arange(16)) & 1))[..., None]
    images[:, 1] = on  # nobody's image is all black
    return images


def numbers(images):
    """Return the indices that `numbered` wrote into images uint8[N, H, W, C]."""
    return ((np.asarray(images)[:, 0, :16, 0] != 0) << np.arange(16)).sum(1)


def idx_bytes(array):
    """Return an array of bytes in the idx format."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


def digits(count, seed=0):
    """Return images uint8[count, 28, 28] and labels uint8[count] in 0 … 9."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 28, 28), np.uint8), (np.arange(count) % 10).astype(np.uint8)


def write_idx(folder, *, zipped=True, counts=(("train", 30), ("t10k", 20))):
    """Write the four official files of MNIST or Fashion-MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in counts:
        for kind, array in zip(("images-idx3", "labels-idx1"), digits(count), strict=True):
            content = idx_bytes(array)
            path = folder / f"{stem}-{kind}-ubyte{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(content) if zipped else content)
    return folder


def dsprites_arrays():
    """Return imgs uint8[N, 64, 64] of 0/1, latents_classes i64[N, 6], latents_values f64[N, 6]."""
    classes = grid((1, *DSPRITES_SIZES))
    return numbered(len(classes))[..., 0], classes, classes / 7.0


def write_dsprites_npz(folder, **replaced):
    """Write the official .npz, with the pickled metadata that must never be opened."""
    folder.mkdir(parents=True, exist_ok=True)
    images, classes, values = dsprites_arrays()
    metadata = np.array({"title": "dSprites dataset"}, dtype=object)
    arrays = {"metadata": metadata, "imgs": images, "latents_classes": classes, "latents_values": values} | replaced
    np.savez_compressed(folder / f"{DSPRITES_STEM}.npz", **arrays)
    return folder


def write_dsprites_hdf5(folder):
    """Write the official .hdf5, compressed in chunks that divide nothing evenly."""
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    images, classes, values = dsprites_arrays()
    with h5py.File(folder / f"{DSPRITES_STEM}.hdf5", "w") as file:
        file.create_dataset("imgs", data=images, chunks=(5, 32, 64), compression="gzip")
        file.create_dataset("latents/classes", data=classes)
        file.create_dataset("latents/values", data=values)
    return folder


def shapes3d_images(count):
    """Return coloured images uint8[count, 64, 64, 3] that carry their number."""
    images = numbered(count, channels=3, on=200)
    images[:, 2, 0] = (10, 20, 30)  # three different channels
    return images


def write_shapes3d(folder, **replaced):
    """Write the official .h5, whose labels are values, not classes."""
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    classes = grid(SHAPES3D_SIZES)
    scale, offset = np.array([0.1, 0.1, 0.1, 0.5 / 7, 1.0, 60 / 14]), np.array([0, 0, 0, 0.75, 0, -30.0])
    arrays = {"images": shapes3d_images(len(classes)), "labels": classes * scale + offset} | replaced
    with h5py.File(folder / "3dshapes.h5", "w") as file:
        for key, array in arrays.items():
            file.create_dataset(key, data=array, compression="gzip")
    return folder


def encoded(image, kind="png", **options):
    """Return an image uint8[H, W, C] as a file in memory."""
    stream = io.BytesIO()
    PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(stream, kind, **options)
    stream.seek(0)
    return stream


def smallnorb_records(instances):
    """Return one record of smallNORB for each instance, category, elevation, azimuth and lighting of a small choice."""
    rows = list(itertools.product(instances, range(5), (0, 8), (0, 3, 17), (1, 5)))
    names = ("instance", "label_category", "label_elevation", "label_azimuth", "label_lighting")
    records = []
    for row in rows:
        image = np.full((96, 96, 1), 20 * row[0] + row[1], np.uint8)  # flat, so that resizing leaves it alone
        records.append({"image": encoded(image), "image2": encoded(255 - image), **dict(zip(names, row, strict=True))})
    return records


def face(index):
    """Return uint8[218, 178, 3]: grey `index` in the middle 148x148, white around it."""
    image = np.full((218, 178, 3), 255, np.uint8)
    image[35:183, 15:163] = 10 * index
    return image


def celeb_a_records(count, names):
    """Return records of CelebA; attribute k of face i is bit i of k."""
    places = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    return [
        {
            "image": encoded(face(i), "jpeg", quality=95),
            "landmarks": {f"{place}_{axis}": 0 for place in places for axis in "xy"},
            "attributes": {name: bool(k >> i & 1) for k, name in enumerate(names)},
            "identity": {"Identity_No": i + 1},
        }
        for i in range(count)
    ]


def photograph(number, size=(89, 109)):
    """Return a picture of width and height `size` that no filter leaves alone and no other number has."""
    rng = np.random.default_rng(number)
    coarse = PIL.Image.fromarray(rng.integers(0, 256, (13, 11, 3), np.uint8))
    return coarse.resize(size, PIL.Image.Resampling.BICUBIC)


def celeb_a_lists(numbers, names):
    """Return what the official lists say, by list: a row for each number, the last one first."""
    images = {f"{number:06d}.jpg": number for number in reversed(numbers)}
    attributes = [(image, *(1 if (i + k) % 3 else -1 for k in range(len(names)))) for image, i in images.items()]
    return {
        "list_attr_celeba": [(len(images),), names, *attributes],
        "list_eval_partition": [(image, (0, 0, 1, 2)[i % 4]) for image, i in images.items()],
        "identity_CelebA": [(image, 1 + i % 5) for image, i in images.items()],
    }


def write_celeb_a(folder, names, *, shown=range(3, 15), listed=range(1, 21), place="img_align_celeba", kind="jpeg"):
    """Write CelebA's official files: the lists, and in `place`, a folder or a .zip, the images that are `shown`."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, rows in celeb_a_lists(listed, names).items():
        text = "".join("  ".join(map(str, row)) + " \r\n" for row in rows)
        (folder / f"{stem}.txt").write_text(text)
    suffix = {"jpeg": "jpg"}.get(kind, kind)
    files = {f"{number:06d}.{suffix}": encoded(np.asarray(photograph(number)), kind).read() for number in shown}
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    if place.endswith(".zip"):
        with zipfile.ZipFile(folder / place, "w") as archive:
            for name, content in reversed(files.items()):
                archive.writestr(f"img_align_celeba/{name}", content)
    else:
        (folder / place).mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / place / name).write_bytes(content)
    return folder


def norb_bytes(array):
    """Return an array of uint8 or int32 in NORB's binary format."""
    magic = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54}[array.dtype.name]
    shape = (*array.shape, 1, 1)[: max(3, array.ndim)]
    head = struct.pack(f"<{2 + len(shape)}i", magic, array.ndim, *shape)
    return head + array.astype(array.dtype.newbyteorder("<")).tobytes()


def smallnorb_arrays(instances):
    """Return dat uint8[N, 2, 96, 96], cat i32[N] and info i32[N, 4] of a small choice, in no order."""
    rows = np.array(list(itertools.product(instances, range(5), (0, 8), (0, 3, 17), (1, 5))), np.int32)
    rng = np.random.default_rng(len(instances) + instances[0])
    rows = rows[rng.permutation(len(rows))]
    coarse = rng.integers(0, 256, (len(rows), 2, 12, 12), np.uint8)
    dat = coarse.repeat(8, axis=2).repeat(8, axis=3)
    return dat, rows[:, 1].copy(), rows[:, [0, 2, 3, 4]] * np.array([1, 1, 2, 1], np.int32)


def write_smallnorb(folder, *, zipped=False):
    """Write the six official files."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, instances in SMALLNORB_SPLITS.items():
        for kind, array in zip(("dat", "cat", "info"), smallnorb_arrays(instances), strict=True):
            path = folder / f"{stem}-{kind}.mat{'.gz' if zipped else ''}"
            path.write_bytes(gzip.compress(norb_bytes(array), 1) if zipped else norb_bytes(array))
    return folder


CARS3D_SHAPE = (128, 128, 3, 24, 4)


def car(number):
    """Return im uint8[128, 128, 3, 24, 4] of one car: noise of its own, coarse enough to survive being resized."""
    coarse = np.random.default_rng(number).integers(0, 256, (16, 16, 3, 24, 4), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def write_cars3d(folder, numbers=(2, 10, 9)):
    """Write the official file of each car; what MATLAB also keeps there is there."""
    import scipy.io

    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        beside = {"mask": np.zeros((128, 128, 24, 4), bool), "YAW_LIST": np.arange(0.0, 360, 15)[None]}
        path = folder / f"car_{number:03d}_mesh.mat"
        scipy.io.savemat(path, {"im": car(number), **beside}, do_compression=True)
    return folder


MPI3D_SIZES = ((3, 2, 1, 2, 1, 2, 3), (2, 2, 1, 2, 1, 2, 3))
"""Sizes of MPI3D's two releases in small; a test has to put them in the place of mpi3d.RELEASES."""


def write_mpi3d(folder, file_name="mpi3d_toy.npz", *, release=0, save=np.savez_compressed, **replaced):
    """Write an official .npz of coloured images that carry their number."""
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / file_name, **({"images": shapes3d_images(math.prod(MPI3D_SIZES[release]))} | replaced))
    return folder


def grid_records(images, classes, names):
    """Return records of dsprites and shapes3d as TFDS has them."""
    return [
        {"image": encoded(image)}
        | {f"label_{name}": int(value) for name, value in zip(names, row, strict=True)}
        | {f"value_{name}": np.float32(value) for name, value in zip(names, row, strict=True)}
        for image, row in zip(images, classes, strict=True)
    ]


def digit_records(count):
    """Return records of mnist and fashion_mnist."""
    images, labels = digits(count)
    return [
        {"image": encoded(image[..., None]), "label": int(label)} for image, label in zip(images, labels, strict=True)
    ]


def prepare(name, data_dir, splits, *, version=None, without=()):
    """Write {split: records} as TFDS would, with the real builder's features and version and without TensorFlow.

    The shipped builders need TensorFlow to prepare; a builder that yields encoded images does not. What is written is
    what they write. Of an older `version` some features may be `without`.
    """
    import tensorflow_datasets as tfds

    real = tfds.builder_cls(name)(data_dir=data_dir)

    kept = {key: feature for key, feature in real.info.features.items() if key not in without}

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version) if version else real.version
        pkg_dir_path = None

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(kept))

        def _split_generators(self, _):
            return {split: enumerate(records) for split, records in splits.items()}

        def _generate_examples(self):
            raise NotImplementedError

    Tiny.name = name
    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    with contextlib.redirect_stdout(None):
        Tiny(data_dir=data_dir, file_format="array_record").download_and_prepare(download_config=config)
    return data_dir


def prepare_celeb_a(data_dir, names, **options):
    """Prepare CelebA: 5, 3 and 4 faces."""
    counts = {"train": 5, "validation": 3, "test": 4}
    splits = {split: celeb_a_records(count, names) for split, count in counts.items()}
    for record in itertools.chain(*splits.values()):
        for key in options.get("without", ()):
            del record[key]
    return prepare("celeb_a", data_dir, splits, **options)


def prepare_all(data_dir, attributes):
    """Prepare the six data sets that are read through TFDS; `attributes` are CelebA's names."""
    names = ("shape", "scale", "orientation", "x_position", "y_position")
    images, classes, _ = dsprites_arrays()
    prepare("dsprites", data_dir, {"train": grid_records(images[..., None], classes[:, 1:], names)})
    names = ("floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation")
    classes = grid(SHAPES3D_SIZES)
    prepare("shapes3d", data_dir, {"train": grid_records(shapes3d_images(len(classes)), classes, names)})
    prepare("smallnorb", data_dir, {"train": smallnorb_records((4, 6)), "test": smallnorb_records((0, 1))})
    for name in ("mnist", "fashion_mnist"):
        prepare(name, data_dir, {"train": digit_records(30), "test": digit_records(20)})
    return prepare_celeb_a(data_dir, attributes)
