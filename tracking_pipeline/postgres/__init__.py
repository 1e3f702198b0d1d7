"""The embedded PostgreSQL. ``server`` is the way in, and tells how processes share it."""
