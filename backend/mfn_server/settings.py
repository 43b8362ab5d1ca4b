"""Settings of the service: defaults, then environment variables that begin with MFN_, then the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from jinja2 import TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from mfn_core.errors import ConfigError

PLAIN = "plain"
"""Instead of a chat template: the messages' texts, parted by blank lines, which the model continues."""


class Settings(BaseSettings):
    """How one server is run. Lists in the environment are JSON: MFN_ALLOWED_HOSTS='["studio.example"]'."""

    model_config = SettingsConfigDict(env_prefix="MFN_", extra="ignore")

    home: Path = Field(
        default_factory=lambda: user_data_path("mfn-studio", appauthor=False),
        description="Folder for what the app keeps.",
    )
    database: str = Field(
        default="", description="SQLite file, or a URL (postgresql+psycopg://...). Empty: studio.sqlite3 in `home`."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on. Loopback unless you say otherwise.")
    port: int = Field(default=8765, ge=0, le=65535, description="Port to listen on.")
    allowed_hosts: list[str] = Field(
        default_factory=list, description="Host names under which the app may be reached, besides loopback's."
    )
    person: str = Field(
        default="anonymous",
        min_length=1,
        max_length=100,
        description="How the one person of a server without accounts is called in what they write.",
    )
    accounts: bool = Field(
        default=False, description="Ask people to log in; the first admin is made by `mfn users create-admin`."
    )
    session_idle_hours: float = Field(default=72.0, gt=0, description="A login that is not used for so long is over.")
    session_days: float = Field(default=30.0, gt=0, description="Longest time for which a login lasts, used or not.")
    model: Path | None = Field(default=None, description="Folder of the model that is served.")
    corpus: list[str] = Field(
        default_factory=list, description="What to index in the background when the model has no index yet."
    )
    corpus_name: str | None = Field(default=None, description="How to call that corpus; else by its files' names.")
    index_file: Path | None = Field(
        default=None, description="A finished index to import instead, when it belongs to the model."
    )
    presets_file: Path | None = Field(default=None, description="Presets that come with the model (JSON).")
    atlas_file: Path | None = Field(
        default=None,
        description="Automatic labels that come with the model (JSON lines). Empty: atlas.jsonl in its folder.",
    )
    held_out: str = Field(
        default="",
        description="Text that the index was not made of, to score labels on: a file, or hf:NAME.",
    )
    reader_url: str = Field(
        default="", description="OpenAI-compatible endpoint, up to /v1, of a language model that reads labels."
    )
    reader_model: str = Field(default="", description="What that model is called there. Its key is in MFN_READER_KEY.")
    reader_folder: Path | None = Field(
        default=None, description="A Hugging Face language model on this machine that reads labels instead."
    )
    reader_price: str = Field(
        default="", description="What a million tokens read, and written, cost there, such as 3/15."
    )
    reader_budget: float = Field(
        default=0.0, ge=0, description="The most that one run which is started on the page may cost there."
    )
    reader_without_accounts: bool = Field(
        default=False,
        description="Without accounts, too, the page may have that endpoint asked. Nobody logs in there, and every run "
        "may cost the whole budget.",
    )
    map: Literal["auto", "pca", "umap"] = Field(
        default="auto",
        description="How the map of features is drawn besides by PCA: `umap` (needs the extra `map`), `pca` for not at "
        "all, `auto` for UMAP where it is installed and there are no more than 100,000 features.",
    )
    dashboards: list[Path] = Field(
        default_factory=list,
        description="Folders of Neuronpedia's batch files, to be read beside the model's features.",
    )
    evidence: list[Path] = Field(
        default_factory=list,
        description="Folders of evidence documents and training runs, besides the model's own.",
    )
    rows: int = Field(
        default=16,
        ge=2,
        le=1024,
        description="How many streams are written at a time; a text with its plain twin is two.",
    )
    queue: int = Field(default=64, ge=0, description="How many texts may wait for the model.")
    per_user: int = Field(
        default=16, ge=1, description="How many texts of one user may be waiting, written, read or kept at a time."
    )
    lag: int = Field(default=1024, ge=2, description="By how many events a reader may lag behind what is written.")
    keep_seconds: float = Field(
        default=120.0, ge=0, description="Longest time for which a text is kept for a client that was cut off."
    )
    memory_bytes: int = Field(
        default=2**30,
        ge=2**20,
        description="Memory that all texts may take up together beside the cache: requests, and events that wait for "
        "their readers.",
    )
    drain_seconds: float = Field(
        default=20.0, ge=0, description="How long a server that is told to stop lets texts go on."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Logs as lines, or as JSON objects.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="What is logged; `info` notes every request and text, without its words."
    )
    model_aliases: list[str] = Field(
        default_factory=list, description="Further names of the model for clients of OpenAI's API."
    )
    chat_template: str = Field(
        default="",
        description="How a chat becomes a text where the model's tokenizer does not say, or other than it says: a file "
        "of Jinja; or `plain`: the messages' texts, parted by blank lines.",
    )
    ray: str = Field(
        default="",
        description="Serve the model by replicas on this Ray cluster: `auto`, `HOST:PORT`, or `local` for one of this "
        "machine. Empty: in a process of this machine.",
    )
    replicas: str = Field(
        default="1", description="How many replicas, with `ray`: a number, or `2-8` for as many as texts ask for."
    )
    max_body_bytes: int = Field(default=1_000_000, description="Longest request body that is read.")
    max_import_bytes: int = Field(
        default=200_000_000, description="Longest file of labels that is taken in over HTTP; the command has no limit."
    )

    @property
    def database_url(self) -> str:
        """`database` as an SQLAlchemy URL."""
        if "://" in self.database:
            return self.database.replace("postgresql://", "postgresql+psycopg://", 1)
        path = Path(self.database) if self.database else self.home / "studio.sqlite3"
        return f"sqlite:///{path.expanduser().resolve()}"

    def check_chat_template(self) -> None:
        """Raises ConfigError where the file of the chat template cannot be read, or is none."""
        template = self.chat_template_text
        if template is None or template == PLAIN:
            return
        try:
            ImmutableSandboxedEnvironment().parse(template)
        except TemplateSyntaxError as error:
            raise ConfigError(f"{self.chat_template}, line {error.lineno}: {error.message}") from None

    @property
    def chat_template_text(self) -> str | None:
        """The template itself, or `plain`; None to go by the tokenizer."""
        if self.chat_template in ("", PLAIN):
            return self.chat_template or None
        try:
            return Path(self.chat_template).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the chat template {self.chat_template} cannot be read: {error}") from None

    @property
    def atlas_path(self) -> Path | None:
        """Where the atlas is, if there is one."""
        return self.atlas_file or (self.model and self.model / "atlas.jsonl")
