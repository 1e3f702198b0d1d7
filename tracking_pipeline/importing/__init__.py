"""A user's own NDJSON or CSV into the tables: good lines go in, bad ones are told by number.

``files`` finds out how a file is written and reads it (``lines``, ``json_records``,
``csv_records``), ``failed_events``, ``leads`` and ``ledger`` make a row of each line, ``batches``
puts the rows in, and ``service`` is the one pass over all of it.
"""
