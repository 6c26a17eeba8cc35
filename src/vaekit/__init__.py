r"""vaekit: train a variational autoencoder, know how good it is in nats, look around in its latent space, ship it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
