"""A run that is stopped, as Ctrl-C does."""

from autoprox.evolution.run import Silent


class Stopper(Silent):
    """Stops a run after its second generation."""

    def generation(self, generation, held_out):
        if generation.number == 2:
            raise KeyboardInterrupt
