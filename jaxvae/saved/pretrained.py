"""Published networks as Models: reads PyTorch's files, of both formats, with NumPy alone. Knows no sweep."""

import collections
import json
import math
import pathlib
import pickle
import sys
import zipfile
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxvae.arguments import as_path
from jaxvae.saved.model import Model, check_fit
from jaxvae.types import InputError, Networks, Program, in_32_bits

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_ZIP = b"PK\x03\x04"
_DTYPES = {
    "FloatStorage": np.dtype(np.float32),
    "DoubleStorage": np.dtype(np.float64),
    "HalfStorage": np.dtype(np.float16),
    "BFloat16Storage": np.dtype(jnp.bfloat16),
    "LongStorage": np.dtype(np.int64),
    "IntStorage": np.dtype(np.int32),
}


LARGEST = 2**16
"""Of the numbers in specs.json: nobody publishes networks of more latents, or of larger images."""


class PretrainedError(InputError):
    """A folder does not hold a network that can be read; the message says what is wrong with it."""


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Storage(NamedTuple):
    dtype: np.dtype
    count: int  # of values


class _Unpickler(pickle.Unpickler):
    """Knows a few names and runs nothing: a pickle that asks for any other is refused."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, tuple(shape), tuple(strides))
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda tensor, *_: tensor
        if module == "torch" and name in _DTYPES:
            return name
        raise PretrainedError(f"asks for {module}.{name}, which no file of plain weights needs; it was not run")

    def persistent_load(self, pid: Any) -> str:
        kind, dtype, key, _device, count, *view = pid  # only the legacy format says whether it is a view
        if kind != "storage" or any(part is not None for part in view):
            raise PretrainedError(f"refers to {kind!r}, which no file of plain weights needs")
        self.storages[key] = _Storage(_DTYPES[dtype], int(count))
        return key


def read_state_dict(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights that `torch.save(model.state_dict())` wrote, in either format. Nothing in it is executed.

    Since PyTorch 1.6 the file is a zip archive: NAME/data.pkl is the state dict with references to storages, and
    NAME/data/KEY the raw values of each, in the byte order that NAME/byteorder names (without it little).
    Before, it is: a magic number, a protocol number, system facts, the state dict, the list of storages, then each
    storage as an int64 count and raw little-endian values.

    Raises:
        PretrainedError: it is another kind of file, is cut short, or holds more than weights.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            tensors, storages = (_read_zip if zipped else _read_legacy)(file)
        if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
            raise PretrainedError("holds something else than a state dict of tensors: save model.state_dict()")
        return {name: _view(storages[tensor.storage], tensor) for name, tensor in tensors.items()}
    except PretrainedError as error:
        raise PretrainedError(f"{path} {error}") from None
    except OSError as error:
        raise PretrainedError(f"{path} cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a damaged pickle can raise almost anything
        words = " ".join(str(error).split())[:200]
        raise PretrainedError(f"{path} is damaged or not a PyTorch file ({type(error).__name__}: {words})") from None


def _read_zip(file: BinaryIO) -> tuple[Any, dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise PretrainedError("is a zip archive, but not one that PyTorch wrote")
        root = pickles[0].removesuffix("data.pkl")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
        if order not in (b"little", b"big"):
            raise PretrainedError(f"is of byte order {order.decode(errors='replace')!r}, neither little nor big")
        with archive.open(pickles[0]) as stream:
            reader = _Unpickler(stream)
            tensors = reader.load()
        raw = {key: archive.read(f"{root}data/{key}") for key in reader.storages}
    little = order == b"little"
    return tensors, {key: _values(raw[key], storage, little=little) for key, storage in reader.storages.items()}


def _read_legacy(file: BinaryIO) -> tuple[Any, dict[str, np.ndarray]]:
    if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
        raise PretrainedError("is not a file of PyTorch")
    _Unpickler(file).load()  # sizes of C types on the machine that wrote it; the values below are fixed
    reader = _Unpickler(file)
    tensors = reader.load()
    storages = {}
    for key in _Unpickler(file).load():
        dtype = reader.storages[key].dtype
        count = int.from_bytes(file.read(8), "little", signed=True)
        raw = file.read(count * dtype.itemsize) if count >= 0 else b""
        storages[key] = _values(raw, _Storage(dtype, count), little=True)
    return tensors, storages


def _values(raw: bytes, storage: _Storage, *, little: bool) -> np.ndarray:
    if len(raw) != storage.count * storage.dtype.itemsize:
        raise PretrainedError("is cut short")
    values = np.frombuffer(raw, storage.dtype)
    return values if little == (sys.byteorder == "little") else values.byteswap()


def _view(storage: np.ndarray, tensor: _Tensor) -> np.ndarray:
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.strides, default=0) < 0 or not 0 <= tensor.offset <= last < storage.size:
        raise PretrainedError("holds a tensor that reaches beyond its storage")
    strides = [s * storage.itemsize for s in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, order="C")  # ascontiguousarray would give a scalar an axis


def _dense(weights: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {"kernel": weights[f"{name}.weight"].T, "bias": weights[f"{name}.bias"]}


def _convolution(weights: dict[str, np.ndarray], name: str, axes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"kernel": weights[f"{name}.weight"].transpose(axes), "bias": weights[f"{name}.bias"]}


def burgess_params(weights: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the parameters of our `burgess` architecture from disentangling-vae's state dict.

    PyTorch keeps convolutions as (out, in, kh, kw), transposed ones as (in, out, kh, kw), dense layers as (out, in),
    and flattens channels first; the rows of its last encoder layer alternate between mean and log-variance.
    """
    large = "encoder.conv_64.weight" in weights  # 64x64 images have one more layer each way
    down = ["conv1", "conv2", "conv3", *["conv_64"] * large]
    up = [*["convT_64"] * large, "convT1", "convT2", "convT3"]
    encoder = {f"Conv_{i}": _convolution(weights, f"encoder.{n}", (2, 3, 1, 0)) for i, n in enumerate(down)}
    decoder = {f"ConvTranspose_{i}": _convolution(weights, f"decoder.{n}", (2, 3, 0, 1)) for i, n in enumerate(up)}
    encoder |= {f"Dense_{i}": _dense(weights, f"encoder.{n}") for i, n in enumerate(("lin1", "lin2", "mu_logvar_gen"))}
    decoder |= {f"Dense_{i}": _dense(weights, f"decoder.{n}") for i, n in enumerate(("lin1", "lin2", "lin3"))}

    side = math.isqrt(encoder["Dense_0"]["kernel"].shape[0] // 32)
    first, last = encoder["Dense_0"], decoder["Dense_2"]
    first["kernel"] = first["kernel"].reshape(32, side, side, -1).transpose(1, 2, 0, 3).reshape(32 * side * side, -1)
    last["kernel"] = last["kernel"].reshape(-1, 32, side, side).transpose(0, 2, 3, 1).reshape(-1, 32 * side * side)
    last["bias"] = last["bias"].reshape(32, side, side).transpose(1, 2, 0).reshape(-1)
    order = np.r_[0 : encoder["Dense_2"]["bias"].size : 2, 1 : encoder["Dense_2"]["bias"].size : 2]
    encoder["Dense_2"] = {"kernel": encoder["Dense_2"]["kernel"][:, order], "bias": encoder["Dense_2"]["bias"][order]}
    return {"encoder": encoder, "decoder": decoder}


@in_32_bits
def load_pretrained(path: str | pathlib.Path) -> Model:
    """Open a network published with disentangling-vae (Dubois et al. 2019): a folder with model.pt and specs.json.

    Needs no PyTorch. The networks were trained on images in [0, 1] (MNIST resized to 32x32, CelebA squashed to
    64x64: the data set celeb_a_whole).

    Raises:
        PretrainedError: the folder or a file in it is missing, damaged, or another architecture, or the two files do
            not fit each other.
    """
    path = as_path("the folder of a network", path, PretrainedError)
    for name in ("specs.json", "model.pt"):
        if (path / name).exists() and not (path / name).is_file():
            raise PretrainedError(f"{path / name} cannot be read (it is no file)")
    try:
        specs = json.loads((path / "specs.json").read_text(encoding="utf-8"))
        channels, height, width = map(int, specs["img_size"])
        model_type, latent_dim = specs["model_type"], int(specs["latent_dim"])
    except OSError as error:
        raise PretrainedError(f"{path / 'specs.json'} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise PretrainedError(f"{path / 'specs.json'} lacks img_size, model_type or latent_dim ({error!r})") from None
    if model_type != "Burgess":
        raise PretrainedError(f"{path} holds a network of type {model_type!r}; only 'Burgess' can be read")
    if not all(1 <= number <= LARGEST for number in (latent_dim, channels, height, width)):
        raise PretrainedError(f"{path / 'specs.json'} says img_size {specs['img_size']}, latent_dim {latent_dim}")
    program = Program("burgess", specs.get("loss", "pretrained"), (height, width, channels), latent_dim=latent_dim)
    weights = read_state_dict(path / "model.pt")
    try:
        params = burgess_params({name: array.astype(np.float32) for name, array in weights.items()})
    except (KeyError, ValueError, IndexError) as error:
        raise PretrainedError(f"{path / 'model.pt'} does not hold a Burgess network ({error!r})") from None
    try:
        check_fit(program, {"params": params}, str(path))
    except InputError as error:
        said = f"img_size {specs['img_size']} and latent_dim {latent_dim}"
        raise PretrainedError(f"{path / 'specs.json'} says {said}, which model.pt does not fit: {error}") from None
    about = {n: specs.get(n) for n in ("experiment", "loss", "dataset", "epochs", "lr", "batch_size", "seed")}
    return Model(program, Networks({"params": params}, {}), about)
