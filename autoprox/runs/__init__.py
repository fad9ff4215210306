"""Runs: a search with all that is around it, in a folder.

`ground` lays out what is measured and split, `running` measures, searches and reports, `folder`
keeps it on disk, `record` reads it back; `evolve` is what users call. `several` does and
`several_record` reads several runs in one folder.
"""
