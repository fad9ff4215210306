"""What proxies, their parts and the layers of a network are worth on a bench."""
