"""What `barefaced bench` measures, and the documents, tables and figures that come of it.

A measurement of its own is a file in `benchmarks.parts`. Here is what several of them share: clips, a process for each
run, turns with a ceiling, records of one schema, the page. Nothing that a run needs comes in.
"""
