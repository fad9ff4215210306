"""Fitting a proxy to the accuracies of a few trained networks of a bench."""
