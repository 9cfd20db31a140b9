"""The tables. `migrations/` makes them; a test keeps the two alike.

Their names begin with ``ll_``, since the durable engine keeps its own tables in the same database. Documents are
kept as the canonical JSON that their id is the digest of; the columns beside them are for looking things up.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    text,
)

__all__ = [
    "Utc",
    "approvals",
    "artifact_images",
    "artifacts",
    "attempts",
    "builds",
    "diff_ids",
    "events",
    "holds",
    "ledger",
    "ledger_heads",
    "manifests",
    "metadata",
    "notifications",
    "overrides",
    "pipelines",
    "promotions",
    "releases",
    "samples",
    "schedules",
    "tag_moves",
    "workers",
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
        # SQLite has no zones and drops the one it is given; what was bound is UTC. PostgreSQL answers in its session's.
        if value is None:
            return None
        return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


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
    Column("published_by", Text, nullable=False, server_default=text("''")),  # who published it first
    Column("author", Text, nullable=False, server_default=text("''")),  # who wrote its commit
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
    Column("requested_at", Utc, nullable=False),
    Column("requested_by", Text, nullable=False),  # JSON: a list of {person, asserted}
    Column("trigger", Text, nullable=False),
    Column("rollback", Boolean, nullable=False),
    Column("proven", Text, nullable=False),  # JSON: stages whose registries held the release when it was asked for
    Column("decision", Text, nullable=False),
    Column("decided_at", Utc),
    Column("reason", Text, nullable=False),
    Column("successor", Integer),
    Column("ready", Boolean, nullable=False),  # nothing but its turn is missing
    Column("look_at", Utc),  # when it is weighed again; null: when somebody does something
    Column("looks", Integer, nullable=False),  # how often it was weighed: makes the id of the next look
    Column("active", Boolean, nullable=False),  # admitted, with an attempt that has not ended: it has the stage
    Column("succeeded_order", BigInteger),  # the ended_order of its newest attempt that arrived
    Index("ix_ll_promotions_pipeline_stage_succeeded_order", "pipeline", "stage", "succeeded_order"),
    Index("ix_ll_promotions_pipeline_stage_decision", "pipeline", "stage", "decision"),
    Index("ix_ll_promotions_decision_look_at", "decision", "look_at"),
    Index(
        "uq_ll_promotions_active",
        "pipeline",
        "stage",
        unique=True,
        sqlite_where=text("active"),
        postgresql_where=text("active"),
    ),
    CheckConstraint(
        "decision IN ('waiting', 'admitted', 'refused', 'expired', 'canceled', 'superseded')", name="decision"
    ),
    CheckConstraint("(decision = 'waiting') = (decided_at IS NULL)", name="decided"),
)

approvals = Table(
    "ll_approvals",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("promotion_id", ForeignKey(promotions.c.id), nullable=False, index=True),
    Column("person", Text, nullable=False),
    Column("asserted", Boolean, nullable=False),
    Column("approved", Boolean, nullable=False),
    Column("at", Utc, nullable=False),
    Column("binding", Text, nullable=False),
    Column("comment", Text, nullable=False),
)

overrides = Table(
    "ll_overrides",
    metadata,
    Column("promotion_id", ForeignKey(promotions.c.id), primary_key=True),
    Column("person", Text, nullable=False),
    Column("asserted", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Utc, nullable=False),
)

holds = Table(
    "ll_holds",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("pipeline", Text, nullable=False),
    Column("stage", Text, nullable=False),  # empty: all stages
    Column("person", Text, nullable=False),
    Column("asserted", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by_rollback", Boolean, nullable=False),
    Column("since", Utc, nullable=False),
    Column("released_at", Utc),
    Column("released_by", Text),
    Index("ix_ll_holds_pipeline_released_at", "pipeline", "released_at"),
)

samples = Table(
    "ll_samples",
    metadata,
    Column("promotion_id", ForeignKey(promotions.c.id), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Utc, nullable=False),
    Column("verdicts", Text, nullable=False),  # JSON: a list of {outcome, reason, clearsAt}
    PrimaryKeyConstraint("promotion_id", "number"),
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
    Column("arrived_at", Utc),  # when its tags were all there, where receivers had to be told after that
    Column("cancel_by", Text),  # who asked to cancel it, while it runs
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

notifications = Table(
    "ll_notifications",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("promotion_id", ForeignKey(promotions.c.id), nullable=False, index=True),
    Column("attempt", Integer),  # null: about the promotion before it was admitted
    Column("occasion", Text, nullable=False),  # success, failure, waiting, approval-needed
    Column("rule", Integer, nullable=False),  # the position in the stage's notify
    Column("key", Text, nullable=False, unique=True),  # the receiver's idempotency key
    Column("state", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", Utc),  # when it is tried (again); null: not any more
    Column("delivered_at", Utc),
    Column("reason", Text, nullable=False),  # the last failure
    Index("ix_ll_notifications_state_next_at", "state", "next_at"),
    CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
)

events = Table(
    "ll_events",
    metadata,
    # SQLite gives ids, of 64 bits, to a column of exactly this type.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("pipeline", Text, nullable=False),
    Column("promotion_id", Integer, nullable=False),
    Column("attempt", Integer),
    Column("at", Utc, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),  # JSON
    Index("ix_ll_events_promotion_id_id", "promotion_id", "id"),
    sqlite_autoincrement=True,  # ids are a cursor: one that was given is never given again
)

ledger = Table(
    "ll_ledger",
    metadata,
    Column("pipeline", Text, nullable=False),
    Column("number", Integer, nullable=False),  # from 1, without gaps
    Column("entry", Text, nullable=False),  # canonical JSON, with the digest of the entry before
    Column("digest", Text, nullable=False),
    PrimaryKeyConstraint("pipeline", "number"),
)

ledger_heads = Table(
    "ll_ledger_heads",
    metadata,
    Column("pipeline", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("digest", Text, nullable=False),
)

workers = Table(
    "ll_workers",
    metadata,
    Column("id", Text, primary_key=True),  # of one process, never used again
    Column("host", Text, nullable=False),
    Column("expires_at", Utc, nullable=False),
)

schedules = Table(
    "ll_schedules",
    metadata,
    Column("pipeline", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("schedule", Text, nullable=False),
    Column("next_at", Utc, nullable=False),
    PrimaryKeyConstraint("pipeline", "stage"),
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
