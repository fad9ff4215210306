"""Search by proxy: architectures of a space, or bits for the layers of a trained network."""
