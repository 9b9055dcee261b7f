"""`python -m jaxvae` is the command `jaxvae`."""

from jaxvae.cli import run_command

if __name__ == "__main__":
    run_command()
