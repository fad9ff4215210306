"""The page of a run: one HTML file that opens offline, made from the files in the run's folder."""

from __future__ import annotations

from autoprox.show.page.page import page, write_page

__all__ = ["page", "write_page"]
