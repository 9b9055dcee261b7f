"""Files of PyTorch in both formats, written here byte by byte and without PyTorch: these tests are never skipped."""

import collections
import json
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae.saved.pretrained import PretrainedError, read_state_dict

STORAGES = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long"}
SPECS = {"model_type": "Burgess", "img_size": [1, 32, 32], "latent_dim": 2, "experiment": "tiny", "loss": "VAE"}


def plain(value):
    """Return the opcodes that make a value of built-in types."""
    return pickle.dumps(value, 2)[2:-1]


def tensor(key, array, extra, function="torch._utils\n_rebuild_tensor_v2"):
    """Return the opcodes that make a contiguous tensor; `extra` is what the reference to its storage ends with."""
    kind = f"ctorch\n{STORAGES[array.dtype.name]}Storage\n".encode()
    storage = b"(" + plain("storage") + kind + plain(key) + plain("cpu") + plain(array.size) + extra + b"tQ"
    strides = tuple(int(s) // array.itemsize for s in array.strides)
    rest = plain(0) + plain(array.shape) + plain(strides) + plain(False) + plain(collections.OrderedDict())
    return f"c{function}\n".encode() + b"(" + storage + rest + b"tR"


def state_dict(weights, extra):
    """Return the pickle of an OrderedDict of tensors with its `_metadata`, as a module's state_dict() has it."""
    items = b"".join(plain(name) + tensor(str(i), array, extra) for i, (name, array) in enumerate(weights.items()))
    metadata = plain({"_metadata": collections.OrderedDict({"": {"version": 1}})})
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u" + metadata + b"b."


def write_legacy(path, weights):
    head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True})
    keys = [str(i) for i in range(len(weights))]
    pickles = [*(pickle.dumps(value, 2) for value in head), state_dict(weights, plain(None)), pickle.dumps(keys, 2)]
    raw = [struct.pack("<q", array.size) + array.tobytes() for array in weights.values()]
    path.write_bytes(b"".join(pickles + raw))


def write_zip(path, weights, *, root="archive", order="little", **replaced):
    members = {"data.pkl": state_dict(weights, b""), "version": b"3\n"} | (
        {"byteorder": order.encode()} if order else {}
    )
    members |= {
        f"data/{i}": (array.byteswap() if order == "big" else array).tobytes()
        for i, array in enumerate(weights.values())
    }
    with zipfile.ZipFile(path, "w") as archive:  # stored, not compressed, as PyTorch's are
        for name, content in (members | replaced).items():
            archive.writestr(f"{root}/{name}", content)


def burgess(latent_dim=2):
    """Return random weights of disentangling-vae's network for 32x32 grey images."""
    rng = np.random.default_rng(0)
    shapes = {
        **{f"encoder.conv{i}": (32, 1 if i == 1 else 32, 4, 4) for i in (1, 2, 3)},
        "encoder.lin1": (256, 512), "encoder.lin2": (256, 256), "encoder.mu_logvar_gen": (2 * latent_dim, 256),
        "decoder.lin1": (256, latent_dim), "decoder.lin2": (256, 256), "decoder.lin3": (512, 256),
        **{f"decoder.convT{i}": (32, 1 if i == 3 else 32, 4, 4) for i in (1, 2, 3)},
    }  # fmt: skip
    weights = {}
    for name, shape in shapes.items():
        outputs = shape[1] if "convT" in name else shape[0]
        weights[f"{name}.weight"] = (0.05 * rng.standard_normal(shape)).astype(np.float32)
        weights[f"{name}.bias"] = (0.05 * rng.standard_normal(outputs)).astype(np.float32)
    return weights


WRITERS = {
    "legacy": write_legacy,
    "zip": write_zip,
    "zip under another name": lambda path, weights: write_zip(path, weights, root="model"),
    "zip before byte orders": lambda path, weights: write_zip(path, weights, order=None),
    "zip of a big-endian machine": lambda path, weights: write_zip(path, weights, order="big"),
}


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_holds_the_same_arrays(form, tmp_path):
    rng = np.random.default_rng(0)
    weights = {
        "single": rng.standard_normal((2, 3, 4)).astype(np.float32),
        "double": rng.standard_normal((3, 2)),
        "half": rng.standard_normal(5).astype(np.float16),
        "brain": rng.standard_normal(5).astype(jnp.bfloat16),
        "count": np.array(7),
    }
    WRITERS[form](tmp_path / "model.pt", weights)
    found = read_state_dict(tmp_path / "model.pt")
    assert list(found) == list(weights)
    for name, array in weights.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "published"
    path.mkdir()
    (path / "specs.json").write_text(json.dumps(SPECS))
    return path


@pytest.mark.parametrize("form", WRITERS)
def test_a_published_network_opens_in_every_format(form, folder):
    weights = burgess()
    last = "encoder.mu_logvar_gen"  # its rows alternate between mean and log-variance
    weights |= {f"{last}.weight": 0 * weights[f"{last}.weight"], f"{last}.bias": np.array([1, 2, 3, 4], np.float32)}
    WRITERS[form](folder / "model.pt", weights)
    model = jaxvae.load_pretrained(folder)
    assert model.about["experiment"] == "tiny" and model.program.image_shape == (32, 32, 1)
    np.testing.assert_array_equal(model.params["encoder"]["Dense_1"]["kernel"], weights["encoder.lin2.weight"].T)
    mean, logvar = model.encode(np.random.default_rng(1).random((3, 32, 32, 1)))
    np.testing.assert_array_equal(mean, [[1, 3]] * 3)
    np.testing.assert_array_equal(logvar, [[2, 4]] * 3)
    if form != "legacy":
        write_legacy(folder / "model.pt", weights)
        np.testing.assert_array_equal(jaxvae.load_pretrained(folder).decode(mean), model.decode(mean))


def test_weights_of_half_precision_become_single(folder):
    write_zip(folder / "model.pt", {name: array.astype(np.float16) for name, array in burgess().items()})
    model = jaxvae.load_pretrained(folder)
    assert model.params["encoder"]["Dense_1"]["kernel"].dtype == jnp.float32


def refused(folder, words):
    with pytest.raises(PretrainedError, match=words) as caught:
        jaxvae.load_pretrained(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["legacy", "zip"])
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"latent_dim": 3}, "says .*latent_dim 3, which model.pt does not fit: .* has shape"),
        ({"img_size": [3, 32, 32]}, r"says img_size \[3, 32, 32\] .* does not fit: .* has shape"),
        ({"img_size": [1, 64, 64]}, r"says img_size \[1, 64, 64\] .* does not fit"),
        ({"img_size": [1, 48, 48]}, r"says img_size \[1, 48, 48\] .* does not fit"),
        ({"img_size": [1, 0, 0]}, r"says img_size \[1, 0, 0\]"),
        ({"img_size": [32, 32]}, "lacks img_size"),
        ({"latent_dim": -1}, "latent_dim -1"),
    ],
)
def test_specs_that_do_not_fit_the_weights_are_refused_on_loading(form, changed, words, folder):
    WRITERS[form](folder / "model.pt", burgess())
    (folder / "specs.json").write_text(json.dumps(SPECS | changed))
    refused(folder, words)


class Attack:
    """What a pickle would run: it opens a file for writing."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_code_in_a_file_is_not_run(folder):
    owned = folder / "owned"
    attack = pickle.dumps({"encoder.conv1.weight": Attack(owned)}, 2)
    write_zip(folder / "model.pt", burgess(), **{"data.pkl": attack})
    refused(folder, "was not run")
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}))
    (folder / "model.pt").write_bytes(head + attack)
    refused(folder, "was not run")
    (folder / "model.pt").write_bytes(pickle.dumps(Attack(owned), 2))  # in place of the magic number
    refused(folder, "was not run")
    assert not owned.exists()


def test_what_is_no_state_dict_is_refused(folder):
    write_zip(folder / "model.pt", burgess(), **{"data.pkl": pickle.dumps({"epoch": 3}, 2)})
    refused(folder, "something else than a state dict")
    write_zip(folder / "model.pt", burgess(), **{"data/0": b"\0" * 12})
    refused(folder, "cut short")
    write_zip(folder / "model.pt", burgess(), byteorder=b"middle")
    refused(folder, "byte order 'middle'")
    with zipfile.ZipFile(folder / "model.pt", "w") as archive:
        archive.writestr("images.npy", b"")
    refused(folder, "not one that PyTorch wrote")
    short = {name: array for name, array in burgess().items() if "lin2" not in name}
    write_zip(folder / "model.pt", short)
    refused(folder, "does not hold a Burgess network")


@pytest.mark.parametrize("form", ["legacy", "zip"])
@pytest.mark.parametrize("keep", [0, 3, 40, 0.5, 0.99])
def test_a_file_cut_short_is_named(form, keep, folder):
    WRITERS[form](folder / "model.pt", burgess())
    raw = (folder / "model.pt").read_bytes()
    (folder / "model.pt").write_bytes(raw[: int(keep * len(raw)) if keep < 1 else keep])
    refused(folder, "model.pt")


def test_a_damaged_byte_of_a_zip_is_noticed(folder):
    write_zip(folder / "model.pt", burgess())
    raw = bytearray((folder / "model.pt").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "model.pt").write_bytes(raw)
    refused(folder, "model.pt is damaged")
