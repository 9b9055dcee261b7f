"""Data sets by name: DATASETS and load(). One function and one line here for each; Dataset itself is in grid.py."""

import dataclasses
from collections.abc import Callable

from jaxvae.data import cars3d, celeb_a, dsprites, folder, idx, mpi3d, npz, shapes3d, smallnorb
from jaxvae.data.arrays import from_arrays
from jaxvae.data.errors import DataError, DataNotFoundError, reason
from jaxvae.data.grid import Dataset
from jaxvae.data.lookup import DataDir
from jaxvae.data.splitting import split_off
from jaxvae.data.sprites import load_mini_sprites, load_sprites
from jaxvae.data.telling import progress
from jaxvae.types import Table, in_32_bits, look_up

__all__ = ["DATASETS", "DataError", "DataNotFoundError", "Dataset", "Source", "from_arrays", "load", "split_off"]


@dataclasses.dataclass(frozen=True)
class Source:
    """What is known of a data set before it is loaded."""

    load: Callable[[str, DataDir], Dataset]  # (split, data_dir)
    splits: tuple[str, ...]
    description: str
    obtain: str  # how to get it, one line

    @property
    def evaluation_split(self) -> str:
        """The split to score on: "test" where there is one, else "train" (the field scores factor grids whole)."""
        return "test" if "test" in self.splits else "train"


_ONE = ("train",)  # the whole set: the field splits no factor grid
_TWO = ("train", "test")
_RENDERED = "nothing to obtain: it is rendered here"

_SOURCES = {
    "sprites": Source(load_sprites, _ONE, "dSprites rendered from its factors, 64x64, 5 factors", _RENDERED),
    "mini_sprites": Source(load_mini_sprites, _ONE, "the same in small: 32x32, fewer values, for CPUs", _RENDERED),
    "dsprites": Source(dsprites.load_dsprites, _ONE, "dSprites, 64x64, 5 factors", dsprites.OBTAIN),
    "shapes3d": Source(shapes3d.load_shapes3d, _ONE, "3D Shapes, 64x64x3, 6 factors", shapes3d.OBTAIN),
    "smallnorb": Source(smallnorb.load_smallnorb, _ONE, "smallNORB, 64x64, 4 factors", smallnorb.OBTAIN),
    "cars3d": Source(cars3d.load_cars3d, _ONE, "Cars3D, 64x64x3, 3 factors", cars3d.OBTAIN),
    "mpi3d_toy": Source(
        mpi3d.load_mpi3d_toy,
        _ONE,
        "MPI3D, a robot's arm rendered plainly, 64x64x3, 7 factors",
        mpi3d.OBTAIN["mpi3d_toy"],
    ),
    "mpi3d_realistic": Source(
        mpi3d.load_mpi3d_realistic,
        _ONE,
        "MPI3D, the arm rendered realistically, 64x64x3, 7 factors",
        mpi3d.OBTAIN["mpi3d_realistic"],
    ),
    "mpi3d_real": Source(
        mpi3d.load_mpi3d_real,
        _ONE,
        "MPI3D, the real arm photographed, 64x64x3, 7 factors",
        mpi3d.OBTAIN["mpi3d_real"],
    ),
    "mnist": Source(idx.load_mnist, _TWO, "MNIST digits, 28x28, 10 classes", idx.OBTAIN_MNIST),
    "fashion_mnist": Source(idx.load_fashion_mnist, _TWO, "Fashion-MNIST, 28x28, 10 classes", idx.OBTAIN_FASHION),
    "celeb_a": Source(
        celeb_a.load_celeb_a,
        celeb_a.SPLITS,
        "CelebA, its faces cut out, 64x64x3, 40 attributes",
        celeb_a.OBTAIN,
    ),
    "celeb_a_whole": Source(
        celeb_a.load_celeb_a_whole,
        celeb_a.SPLITS,
        "CelebA, whole pictures squashed to 64x64x3, 40 attributes",
        celeb_a.OBTAIN,
    ),
    "folder": Source(
        folder.load_folder,
        _ONE,
        "a folder of images of your own, or of subfolders, whose names are the labels",
        folder.OBTAIN,
    ),
    "npz": Source(npz.load_npz, _ONE, "an .npz of images of your own, with or without factors", npz.OBTAIN),
}


DATASETS: Table[Source] = Table("data set", Source, _SOURCES)


@in_32_bits
def load(name: str, split: str = "train", data_dir: DataDir = None) -> Dataset:
    """Return a data set, its pixels and factors on the device.

    Args:
        name: a key of DATASETS.
        split: one of DATASETS[name].splits.
        data_dir: where the data lies: the folder of the official files, or the directory that TFDS prepared into (by
            default TFDS's own); for "folder" the folder of images, for "npz" the file.

    Raises:
        DataNotFoundError: nothing is there; the message says what to download or run.
        InputError: an unknown name or split, or (as DataError) data that cannot be read or does not fit into memory;
            the message is one line.
    """
    source = look_up("data set", name, DATASETS)
    look_up(f"split of {name}", split, dict.fromkeys(source.splits))
    try:
        with progress(f"reading {name}"):
            return source.load(split, data_dir)
    except MemoryError as error:
        raise DataError(f"{name} does not fit into memory ({reason(error)}): free some, or give less data") from None
