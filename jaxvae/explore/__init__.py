"""A page to turn a model's latents on: `jaxvae explore FOLDER`. Trains nothing, writes nothing."""
