"""Training the ResNet-VAE, its checks and its throughput."""
