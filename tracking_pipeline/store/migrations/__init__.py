"""What the schema is, revision by revision, and the vocabulary the revisions are written in.

`versions/` holds one file a revision. `adoption` has the verbs that a revision may use (they only
ever add), `protection` says who may use a table that we made, `statements` runs the SQL of all of
them. `indexes` are built outside a transaction, and `worker_role` gives the role of
`TRACKING_WORKER_ROLE` its rights. `tracking_pipeline.store.migrate` runs all of it.
"""
