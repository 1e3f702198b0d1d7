"""Every setting of the pipeline, read from the environment and from ``.env``. Nothing else reads
them.

Values are read when :func:`read_settings` is called, never on import, so that importing a Dagster
definition needs no environment. Secrets are ``SecretStr``: they print as ``**********``.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

WORKSPACE_FILE = "workspace.yaml"
ENV_FILE = ".env"
CLOSED_PROJECTS_HOME = Path("/var/lib/tracking_pipeline")


class SettingsError(Exception):
    """A setting cannot be used. The message is one line and names the variable, never its value."""


def project_folder() -> Path:
    """The folder that holds ``workspace.yaml``: the nearest one above the working folder, else the
    checkout that this package was installed from, else the working folder itself."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    return here


def _default_home(project: Path) -> Path:
    """``.tracking`` in the project; for root in a folder closed to others, one under ``/var/lib``.

    PostgreSQL does not run as root, and the account that it runs as instead must get there. A
    checkout in root's own home is the usual case, and no reason not to work.
    """
    closed = (folder for folder in (project, *project.parents) if not folder.stat().st_mode & 0o001)
    if os.geteuid() != 0 or next(closed, None) is None:
        return project / ".tracking"
    mark = hashlib.sha256(os.fsencode(project)).hexdigest()[:8]
    return CLOSED_PROJECTS_HOME / f"{project.name}-{mark}"


def _http_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must start with https:// (or http://)")
    return value.rstrip("/")


def _postgres_url(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
GoogleId = Annotated[str, Field(pattern=r"^[0-9-]+$")]
InFlight = Annotated[int, Field(ge=1, le=256)]
PerSecond = Annotated[float, Field(gt=0, le=10_000)]
PostgresUrl = Annotated[SecretStr, AfterValidator(_postgres_url)]


class Settings(BaseSettings):
    """One field a variable; the variable has the field's name in capitals."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    tracking_database_url: PostgresUrl | None = None
    dagster_postgres_url: PostgresUrl | None = None
    tracking_home: Path | None = None
    tracking_rehearsal: bool | None = None
    tracking_worker_role: str | None = None

    meta_dataset_id: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    meta_access_token: SecretStr | None = None
    meta_app_secret: SecretStr | None = None
    meta_api_version: Annotated[str, Field(pattern=r"^v\d+\.\d+$")] = "v26.0"
    meta_test_event_code: str | None = None
    meta_graph_url: HttpUrl = "https://graph.facebook.com"

    meta_requests_in_flight: InFlight | None = None
    meta_requests_per_second: PerSecond | None = None

    google_ads_account_id: GoogleId | None = None
    google_ads_login_account_id: GoogleId | None = None
    google_conversion_action_id: GoogleId | None = None
    google_application_credentials: Path | None = None
    google_access_token: SecretStr | None = None
    google_data_manager_url: HttpUrl = "https://datamanager.googleapis.com"
    google_max_age_days: Annotated[int, Field(ge=1, le=3650)] = 54
    google_requests_in_flight: InFlight | None = None
    # Google allows 300 requests a minute for each Cloud project.
    google_requests_per_second: PerSecond | None = 4.0

    gtm_server_url: HttpUrl | None = None
    gtm_server_protocol: Literal["data_client", "measurement_protocol"] = "data_client"
    gtm_accept_multiple_events: bool = False
    gtm_measurement_id: str | None = None
    gtm_api_secret: SecretStr | None = None
    gtm_preview_token: SecretStr | None = None
    gtm_requests_in_flight: InFlight | None = None
    gtm_requests_per_second: PerSecond | None = None

    site_url: HttpUrl | None = None
    default_country: Annotated[str, Field(pattern=r"^[A-Za-z]{2}$")] = "US"
    geo_match_keys: Literal["none", "country", "country_state", "all"] = "all"

    @property
    def home(self) -> Path:
        """Where the embedded database and downloaded files live; an absolute path."""
        return (self.tracking_home or _default_home(project_folder())).expanduser().absolute()

    @property
    def nothing_configured(self) -> bool:
        """No database and no destination is set: what runs now can only be a rehearsal."""
        return self.tracking_database_url is None and not any(
            (
                self.meta_dataset_id,
                self.meta_access_token,
                self.google_ads_account_id,
                self.google_conversion_action_id,
                self.google_access_token,
                self.gtm_server_url,
            )
        )


def read_settings() -> Settings:
    """Reads the environment, then ``.env`` beside ``workspace.yaml`` for what it does not set.

    Raises :class:`SettingsError` for a value of the wrong form.
    """
    try:
        return Settings(_env_file=project_folder() / ENV_FILE)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        variable = str(first["loc"][0]).upper() if first["loc"] else "a setting"
        problem = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(f"{variable} cannot be used: {problem}") from None
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{ENV_FILE} cannot be read as UTF-8 text: mend or remove it") from None


def dagster_home() -> Path | None:
    """``DAGSTER_HOME`` where it is set: Dagster's own variable, for its own instance folder."""
    value = os.environ.get("DAGSTER_HOME")
    return Path(value).expanduser() if value else None
