"""Published networks as Models: reads PyTorch's legacy files with NumPy alone. Knows no sweep."""

import collections
import json
import math
import pathlib
import pickle
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxvae.saved.model import Model
from jaxvae.types import InputError, Networks, Program

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}


class PretrainedError(InputError):
    """A folder does not hold a network that can be read; the message says what is wrong with it."""


class _Tensor(NamedTuple):
    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Unpickler(pickle.Unpickler):
    """Knows four names and runs nothing: a pickle that asks for any other is refused."""

    def __init__(self, file: BinaryIO):
        super().__init__(file)
        self.dtypes: dict[str, str] = {}  # storage -> dtype

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: _Tensor(storage, offset, tuple(shape), tuple(strides))
        if module == "torch" and name in _DTYPES:
            return name
        raise PretrainedError(f"asks for {module}.{name}, which no file of plain weights needs; it was not run")

    def persistent_load(self, pid: Any) -> str:
        kind, dtype, key, _device, _count, view = pid
        if kind != "storage" or view is not None:
            raise PretrainedError(f"refers to {kind!r}, which no file of plain weights needs")
        self.dtypes[key] = _DTYPES[dtype]
        return key


def read_state_dict(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Read the weights that `torch.save(model.state_dict())` wrote before PyTorch 1.6.

    The file is: a magic number, a protocol number, system facts, the state dict with references to storages, the list
    of storages, then each storage as an int64 count and raw little-endian values. Nothing in it is executed.

    Raises:
        PretrainedError: it is another kind of file, is cut short, or holds more than weights.
    """
    try:
        with open(path, "rb") as file:
            if _Unpickler(file).load() != _MAGIC or _Unpickler(file).load() != _PROTOCOL:
                raise PretrainedError("is not in PyTorch's legacy format (before 1.6)")
            _Unpickler(file).load()  # sizes of C types on the machine that wrote it; the values below are fixed
            reader = _Unpickler(file)
            tensors = reader.load()
            storages = {}
            for key in _Unpickler(file).load():
                dtype = np.dtype(reader.dtypes[key])
                count = int.from_bytes(file.read(8), "little", signed=True)
                raw = file.read(count * dtype.itemsize) if count >= 0 else b""
                if len(raw) != count * dtype.itemsize:
                    raise PretrainedError("is cut short")
                storages[key] = np.frombuffer(raw, dtype)
        return {name: _view(storages[tensor.storage], tensor) for name, tensor in tensors.items()}
    except PretrainedError as error:
        raise PretrainedError(f"{path} {error}") from None
    except OSError as error:
        raise PretrainedError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # a damaged pickle can raise almost anything
        raise PretrainedError(f"{path} is damaged or not a PyTorch file ({type(error).__name__}: {error})") from None


def _view(storage: np.ndarray, tensor: _Tensor) -> np.ndarray:
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if min(tensor.strides, default=0) < 0 or not 0 <= tensor.offset <= last < storage.size:
        raise PretrainedError("holds a tensor that reaches beyond its storage")
    strides = [s * storage.itemsize for s in tensor.strides]
    view = np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.ascontiguousarray(view)


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


def load_pretrained(path: str | pathlib.Path) -> Model:
    """Open a network published with disentangling-vae (Dubois et al. 2019): a folder with model.pt and specs.json.

    Needs no PyTorch. The networks were trained on images in [0, 1] (MNIST resized to 32x32, CelebA squashed to 64x64).

    Raises:
        PretrainedError: the folder or a file in it is missing, damaged, or another architecture.
    """
    path = pathlib.Path(path)
    try:
        specs = json.loads((path / "specs.json").read_text())
        channels, height, width = specs["img_size"]
        model_type, latent_dim = specs["model_type"], int(specs["latent_dim"])
    except OSError as error:
        raise PretrainedError(f"{path / 'specs.json'} cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise PretrainedError(f"{path / 'specs.json'} lacks img_size, model_type or latent_dim ({error!r})") from None
    if model_type != "Burgess":
        raise PretrainedError(f"{path} holds a network of type {model_type!r}; only 'Burgess' can be read")
    program = Program("burgess", specs.get("loss", "pretrained"), (height, width, channels), latent_dim=latent_dim)
    weights = read_state_dict(path / "model.pt")
    try:
        params = burgess_params(weights)
    except (KeyError, ValueError, IndexError) as error:
        raise PretrainedError(f"{path / 'model.pt'} does not hold a Burgess network ({error!r})") from None
    about = {n: specs.get(n) for n in ("experiment", "loss", "dataset", "epochs", "lr", "batch_size", "seed")}
    return Model(program, Networks({"params": params}, {}), about)
