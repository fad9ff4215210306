"""What every room stands on: files, registries, workers, devices, progress."""
