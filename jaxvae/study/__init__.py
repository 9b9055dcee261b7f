"""A sweep from data to report as one call: what the command line and Python share. Knows no flag."""

from jaxvae.study.calling import train
from jaxvae.study.comparing import compare
from jaxvae.study.running import Job, check, check_named, run
from jaxvae.study.sweep import Sweep, load_sweep

__all__ = ["Job", "Sweep", "check", "check_named", "compare", "load_sweep", "run", "train"]
