"""Hardware: measured latency and energy of networks, and models of them."""
