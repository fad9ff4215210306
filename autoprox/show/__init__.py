"""Everything that shows: pictures, the page of a run, notebooks, wording."""
