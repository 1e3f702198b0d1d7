"""The log of attempts may be pruned by age, and by nothing else; it is vacuumed in small steps."""

from __future__ import annotations

from alembic import op

from tracking_pipeline.store.migrations.adoption import REJECT_CHANGE, Adoption
from tracking_pipeline.store.migrations.statements import one, run

revision = "0015"
down_revision = "0014"
# There is no downgrade: the release before deletes no attempts.

ATTEMPTS = "tracking_delivery_attempts"
REJECT_DELETE = "tracking_reject_delete"
"""The trigger that keeps young attempts."""

# Less than ATTEMPT_RETENTION_DAYS can be set to.
KEPT_DAYS = 90
_IS_THERE = "select exists (select from pg_trigger where tgrelid = %s::regclass and tgname = %s)"


def upgrade() -> None:
    """Lets old attempts be deleted; young ones are as safe as before."""
    adoption = Adoption.of(op.get_context())
    adoption.lock((ATTEMPTS,))
    if one(adoption.connection, _IS_THERE, f"public.{ATTEMPTS}", REJECT_DELETE):
        return
    for statement in (
        f"drop trigger if exists {REJECT_CHANGE} on public.{ATTEMPTS}",
        f"create trigger {REJECT_CHANGE} before update on public.{ATTEMPTS}"
        f" for each row execute function public.{REJECT_CHANGE}()",
        f"create trigger {REJECT_DELETE} before delete on public.{ATTEMPTS} for each row"
        f" when (old.attempted_at >= now() - interval '{KEPT_DAYS} days')"
        f" execute function public.{REJECT_CHANGE}()",
        # A table that only grows is frozen when it is vacuumed for its inserts: at the defaults of
        # a fifth, 20 million rows at once where there are 100 million.
        f"alter table public.{ATTEMPTS} set (autovacuum_vacuum_scale_factor = 0.02,"
        " autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)",
    ):
        run(adoption.connection, statement)
    adoption.applied.append(f"{ATTEMPTS} can be pruned of what is older than {KEPT_DAYS} days")
