"""A user's own NDJSON or CSV into the tables: good lines go in, bad ones are told by number.

``files`` finds out how a file is written and reads it (``records``, ``json_records``,
``csv_records``), ``rows`` makes a row of each line, and ``service`` is the one pass over all of it.
"""
