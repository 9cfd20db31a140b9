"""Artifacts, builds, pipelines, releases, promotions, attempts, tag moves, diff ids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "ll_artifacts",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("published_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_artifacts"),
    )
    op.create_table(
        "ll_artifact_images",
        sa.Column("artifact_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("stored", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("artifact_id", "name", name="pk_ll_artifact_images"),
        sa.ForeignKeyConstraint(["artifact_id"], ["ll_artifacts.id"], name="fk_ll_artifact_images_artifact_id"),
    )
    op.create_index("ix_ll_artifact_images_digest", "ll_artifact_images", ["digest"])
    op.create_table(
        "ll_manifests",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("digest", "root", name="pk_ll_manifests"),
    )
    op.create_table(
        "ll_builds",
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("build", sa.Text, nullable=False),
        sa.Column("artifact_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "build", name="pk_ll_builds"),
        sa.ForeignKeyConstraint(["artifact_id"], ["ll_artifacts.id"], name="fk_ll_builds_artifact_id"),
    )
    op.create_index("ix_ll_builds_artifact_id", "ll_builds", ["artifact_id"])
    op.create_table(
        "ll_pipelines",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_pipelines"),
    )
    op.create_table(
        "ll_releases",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("pipeline_id", sa.Text, nullable=False),
        sa.Column("artifact_id", sa.Text, nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_releases"),
        sa.ForeignKeyConstraint(["pipeline_id"], ["ll_pipelines.id"], name="fk_ll_releases_pipeline_id"),
        sa.ForeignKeyConstraint(["artifact_id"], ["ll_artifacts.id"], name="fk_ll_releases_artifact_id"),
    )
    op.create_index("ix_ll_releases_artifact_id", "ll_releases", ["artifact_id"])
    op.create_index("ix_ll_releases_pipeline_created_at", "ll_releases", ["pipeline", "created_at"])
    op.create_table(
        "ll_promotions",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("release_id", sa.Text, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("decided_at", UTC, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_promotions"),
        sa.ForeignKeyConstraint(["release_id"], ["ll_releases.id"], name="fk_ll_promotions_release_id"),
        sa.CheckConstraint("decision IN ('admitted', 'refused')", name=op.f("ck_ll_promotions_decision")),
    )
    op.create_index("ix_ll_promotions_release_id", "ll_promotions", ["release_id"])
    op.create_index("ix_ll_promotions_pipeline_stage", "ll_promotions", ["pipeline", "stage"])
    op.create_table(
        "ll_attempts",
        sa.Column("promotion_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("execution", sa.Text, nullable=False),
        sa.Column("queued_at", UTC, nullable=False),
        sa.Column("started_at", UTC),
        sa.Column("ended_at", UTC),
        sa.Column("ended_order", sa.BigInteger),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("promotion_id", "number", name="pk_ll_attempts"),
        sa.ForeignKeyConstraint(["promotion_id"], ["ll_promotions.id"], name="fk_ll_attempts_promotion_id"),
        sa.UniqueConstraint("ended_order", name="uq_ll_attempts_ended_order"),
        sa.CheckConstraint(
            "execution IN ('queued', 'running', 'succeeded', 'failed', 'errored', 'canceled')",
            name=op.f("ck_ll_attempts_execution"),
        ),
        sa.CheckConstraint(
            "(execution IN ('queued', 'running')) = (ended_order IS NULL)", name=op.f("ck_ll_attempts_ended")
        ),
    )
    op.create_table(
        "ll_tag_moves",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("promotion_id", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("tag", sa.Text, nullable=False),
        sa.Column("old", sa.Text),
        sa.Column("new", sa.Text, nullable=False),
        sa.Column("recorded_at", UTC, nullable=False),
        sa.Column("settled_at", UTC),
        sa.PrimaryKeyConstraint("id", name="pk_ll_tag_moves"),
        sa.ForeignKeyConstraint(
            ["promotion_id", "attempt"],
            ["ll_attempts.promotion_id", "ll_attempts.number"],
            name="fk_ll_tag_moves_promotion_id_attempt",
        ),
    )
    op.create_index("ix_ll_tag_moves_destination_tag", "ll_tag_moves", ["destination", "tag"])
    op.create_index("ix_ll_tag_moves_promotion_id_attempt", "ll_tag_moves", ["promotion_id", "attempt"])
    op.create_table(
        "ll_diff_ids",
        sa.Column("diff_id", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("learnt_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("diff_id", name="pk_ll_diff_ids"),
    )
