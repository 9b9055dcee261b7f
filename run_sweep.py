"""`jaxvae` from a clone: python run_sweep.py, the quickstart; python run_sweep.py --help, everything else."""

from jaxvae.cli import run_command

if __name__ == "__main__":
    run_command()
