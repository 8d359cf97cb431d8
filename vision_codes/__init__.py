"""ResNet-VAE spectra, CNN polytopes, MNIST unwrapped into sparse features."""
