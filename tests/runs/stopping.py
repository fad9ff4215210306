"""A run that is stopped, as Ctrl-C does."""

from autoprox.runs.evolve import Silent


class Stopper(Silent):
    """Stops a run after its second generation; a resumed one after the next, if `again`."""

    def __init__(self, again=False):
        self.again = again

    def generation(self, generation, held_out):
        if generation.number == 2 or self.again:
            raise KeyboardInterrupt
