"""The tables. `migrations/` makes them; a test keeps the two alike.

Their names begin with ``ll_``, since a durable engine will keep its own tables in the same database. Documents are
kept as the canonical JSON that their id is the digest of; the columns beside them are for looking things up.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    TypeDecorator,
)

__all__ = [
    "Utc",
    "artifact_images",
    "artifacts",
    "attempts",
    "builds",
    "diff_ids",
    "manifests",
    "metadata",
    "pipelines",
    "promotions",
    "releases",
    "tag_moves",
]


class Utc(TypeDecorator[dt.datetime]):
    """An aware time, kept as UTC; a naive one is refused, since nobody knows what it means."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: Dialect) -> dt.datetime | None:  # noqa: ARG002
        # SQLite has no zones and drops the one it is given; what was bound is UTC.
        return None if value is None else value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

artifacts = Table(
    "ll_artifacts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("published_at", Utc, nullable=False),
)

artifact_images = Table(
    "ll_artifact_images",
    metadata,
    Column("artifact_id", ForeignKey(artifacts.c.id), nullable=False),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False, index=True),
    Column("stored", Text, nullable=False),  # the target that keeps its content; empty when none does
    Column("source", Text, nullable=False),  # the reference it was pinned from, with digest
    PrimaryKeyConstraint("artifact_id", "name"),
)

manifests = Table(
    "ll_manifests",
    metadata,
    Column("digest", Text, nullable=False),
    Column("root", Text, nullable=False),  # the image (an index) that it is part of
    PrimaryKeyConstraint("digest", "root"),
)

builds = Table(
    "ll_builds",
    metadata,
    Column("pipeline", Text, nullable=False),
    Column("build", Text, nullable=False),
    Column("artifact_id", ForeignKey(artifacts.c.id), nullable=False, index=True),
    PrimaryKeyConstraint("pipeline", "build"),
)

pipelines = Table(
    "ll_pipelines",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("document", Text, nullable=False),
)

releases = Table(
    "ll_releases",
    metadata,
    Column("id", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("pipeline_id", ForeignKey(pipelines.c.id), nullable=False),
    Column("artifact_id", ForeignKey(artifacts.c.id), nullable=False, index=True),
    Column("created_at", Utc, nullable=False),
    Index("ix_ll_releases_pipeline_created_at", "pipeline", "created_at"),
)

promotions = Table(
    "ll_promotions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("release_id", ForeignKey(releases.c.id), nullable=False, index=True),
    Column("pipeline", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("decided_at", Utc, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_ll_promotions_pipeline_stage", "pipeline", "stage"),
    CheckConstraint("decision IN ('admitted', 'refused')", name="decision"),
)

attempts = Table(
    "ll_attempts",
    metadata,
    Column("promotion_id", ForeignKey(promotions.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("execution", Text, nullable=False),
    Column("queued_at", Utc, nullable=False),
    Column("started_at", Utc),
    Column("ended_at", Utc),
    Column("ended_order", BigInteger, unique=True),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("promotion_id", "number"),
    CheckConstraint(
        "execution IN ('queued', 'running', 'succeeded', 'failed', 'errored', 'canceled')", name="execution"
    ),
    CheckConstraint("(execution IN ('queued', 'running')) = (ended_order IS NULL)", name="ended"),
)

tag_moves = Table(
    "ll_tag_moves",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("promotion_id", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("destination", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("old", Text),  # null: the tag was not there
    Column("new", Text, nullable=False),
    Column("recorded_at", Utc, nullable=False),
    Column("settled_at", Utc),  # null: whether the tag moved is not known to be over
    ForeignKeyConstraint(["promotion_id", "attempt"], ["ll_attempts.promotion_id", "ll_attempts.number"]),
    Index("ix_ll_tag_moves_destination_tag", "destination", "tag"),
    Index("ix_ll_tag_moves_promotion_id_attempt", "promotion_id", "attempt"),
)

diff_ids = Table(
    "ll_diff_ids",
    metadata,
    Column("diff_id", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("recipe", Text, nullable=False),
    Column("learnt_at", Utc, nullable=False),
)
