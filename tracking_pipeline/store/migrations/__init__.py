"""What the schema is, revision by revision, and the vocabulary the revisions are written in.

`versions/` holds one file a revision, `adoption` the few verbs that a revision may use (they only
ever add), `indexes` the indexes that are built outside a transaction, and `worker_role` what the
role of `TRACKING_WORKER_ROLE` is given. `tracking_pipeline.store.migrate` runs all of it.
"""
