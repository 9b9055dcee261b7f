"""The command line where little is as it should be: locale, home, backend, setting of JAX, standard output, folder."""

import os
import subprocess
import sys

import jaxvae
from conftest import ROOT, xla_flags

HOSTILE = {
    "LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MPLBACKEND": "no_such_backend",
    "JAX_ENABLE_X64": "1", "HOME": "/proc/no_home", "XDG_CACHE_HOME": "/proc/no_cache",
    "XLA_FLAGS": xla_flags(), "JAX_PLATFORMS": "cpu", "JAX_ENABLE_COMPILATION_CACHE": "true",
}  # fmt: skip

UNWANTED = ("PYTHONUNBUFFERED", "JAX_COMPILATION_CACHE_DIR")


def start(*arguments, folder):
    return subprocess.Popen(
        [sys.executable, ROOT / "run_sweep.py", *map(str, arguments)],
        env={name: value for name, value in os.environ.items() if name not in UNWANTED} | HOSTILE,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_list_is_read_where_the_locale_lacks_its_signs(tmp_path):
    process = start("--list", folder=tmp_path)
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0 and b"Traceback" not in error, error
    assert "beta" in out.decode("ascii")


def test_a_sweep_ends_well_though_nobody_reads_what_it_prints(plain, tmp_path):
    process = start(*plain, "--steps=40", "--metrics=mig", "--workdir=a [b]*?{c}", folder=tmp_path)
    process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    error = process.stderr.read().decode("ascii")
    process.wait(timeout=240)
    assert process.returncode == 0 and "Traceback" not in error and "BrokenPipe" not in error, error
    (workdir,) = [path for path in tmp_path.iterdir() if path.is_dir()]
    sweep = jaxvae.load_sweep(workdir)
    assert {row["status"] for row in sweep.results} == {"ok"} and (workdir / "report.html").exists()
    assert sweep.model(0).decode([[0.0, 0.0, 0.0]]).shape == (1, 8, 8, 1)


def test_closed_streams_are_no_error(tmp_path):
    code = "import os; os.close(1); os.close(2); os.execv({!r}, [{!r}, {!r}, '--list'])"
    code = code.format(sys.executable, sys.executable, str(ROOT / "run_sweep.py"))
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=120).returncode == 0
