"""One file a revision. Alembic reads them by path; nothing imports them."""
