"""Decisions that wait: requests, approvals, overrides, holds, samples, notifications, events, ledger, workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

UTC = sa.DateTime(timezone=True)


def upgrade() -> None:
    for name in ("published_by", "author"):
        op.add_column("ll_artifacts", sa.Column(name, sa.Text, nullable=False, server_default=sa.text("''")))
    op.add_column("ll_attempts", sa.Column("arrived_at", UTC))
    op.add_column("ll_attempts", sa.Column("cancel_by", sa.Text))
    _promotions()
    _people()
    _telling()
    _working()


def _promotions() -> None:
    """What was decided before was asked for when it was decided, by whoever ran the command: nobody wrote that down."""
    with op.batch_alter_table("ll_promotions") as table:
        table.drop_constraint(op.f("ck_ll_promotions_decision"), type_="check")
        table.alter_column("decided_at", existing_type=UTC, nullable=True)
        table.add_column(sa.Column("requested_at", UTC))
        table.add_column(sa.Column("requested_by", sa.Text, nullable=False, server_default="[]"))
        table.add_column(sa.Column("trigger", sa.Text, nullable=False, server_default="manual"))
        table.add_column(sa.Column("proven", sa.Text, nullable=False, server_default="[]"))
        for name in ("rollback", "ready", "active"):
            table.add_column(sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("successor", sa.Integer))
        table.add_column(sa.Column("look_at", UTC))
        table.add_column(sa.Column("looks", sa.Integer, nullable=False, server_default="0"))
        table.add_column(sa.Column("succeeded_order", sa.BigInteger))
    op.execute(
        "UPDATE ll_promotions SET requested_at = decided_at, succeeded_order = (SELECT MAX(ended_order) "
        "FROM ll_attempts WHERE promotion_id = ll_promotions.id AND execution = 'succeeded')"
    )
    # No process of the earlier version holds a stage any more: what it left under way has ended.
    op.execute(
        "UPDATE ll_attempts SET execution = 'errored', ended_at = COALESCE(started_at, queued_at), "
        "reason = 'Liftlock was upgraded meanwhile', ended_order = promotion_id * 1000000 + number "
        "+ (SELECT COALESCE(MAX(ended_order), 0) FROM ll_attempts) WHERE execution IN ('queued', 'running')"
    )
    with op.batch_alter_table("ll_promotions") as table:
        table.alter_column("requested_at", existing_type=UTC, nullable=False)
        table.alter_column("requested_by", existing_type=sa.Text, nullable=False, server_default=None)
        table.alter_column("trigger", existing_type=sa.Text, nullable=False, server_default=None)
        table.alter_column("proven", existing_type=sa.Text, nullable=False, server_default=None)
        for name in ("rollback", "ready", "active"):
            table.alter_column(name, existing_type=sa.Boolean, nullable=False, server_default=None)
        table.alter_column("looks", existing_type=sa.Integer, nullable=False, server_default=None)
        table.create_check_constraint(
            op.f("ck_ll_promotions_decision"),
            "decision IN ('waiting', 'admitted', 'refused', 'expired', 'canceled', 'superseded')",
        )
        table.create_check_constraint(op.f("ck_ll_promotions_decided"), "(decision = 'waiting') = (decided_at IS NULL)")
    op.drop_index("ix_ll_promotions_pipeline_stage", "ll_promotions")
    for column in ("succeeded_order", "decision"):
        op.create_index(f"ix_ll_promotions_pipeline_stage_{column}", "ll_promotions", ["pipeline", "stage", column])
    op.create_index("ix_ll_promotions_decision_look_at", "ll_promotions", ["decision", "look_at"])
    op.create_index(
        "uq_ll_promotions_active",
        "ll_promotions",
        ["pipeline", "stage"],
        unique=True,
        sqlite_where=sa.text("active"),
        postgresql_where=sa.text("active"),
    )


def _people() -> None:
    op.create_table(
        "ll_approvals",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("promotion_id", sa.Integer, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("asserted", sa.Boolean, nullable=False),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("binding", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_approvals"),
        sa.ForeignKeyConstraint(["promotion_id"], ["ll_promotions.id"], name="fk_ll_approvals_promotion_id"),
    )
    op.create_index("ix_ll_approvals_promotion_id", "ll_approvals", ["promotion_id"])
    op.create_table(
        "ll_overrides",
        sa.Column("promotion_id", sa.Integer, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("asserted", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("promotion_id", name="pk_ll_overrides"),
        sa.ForeignKeyConstraint(["promotion_id"], ["ll_promotions.id"], name="fk_ll_overrides_promotion_id"),
    )
    op.create_table(
        "ll_holds",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("asserted", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("by_rollback", sa.Boolean, nullable=False),
        sa.Column("since", UTC, nullable=False),
        sa.Column("released_at", UTC),
        sa.Column("released_by", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_ll_holds"),
    )
    op.create_index("ix_ll_holds_pipeline_released_at", "ll_holds", ["pipeline", "released_at"])
    op.create_table(
        "ll_samples",
        sa.Column("promotion_id", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", UTC, nullable=False),
        sa.Column("verdicts", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("promotion_id", "number", name="pk_ll_samples"),
        sa.ForeignKeyConstraint(["promotion_id"], ["ll_promotions.id"], name="fk_ll_samples_promotion_id"),
    )


def _telling() -> None:
    op.create_table(
        "ll_notifications",
        sa.Column("id", sa.Integer, nullable=False, autoincrement=True),
        sa.Column("promotion_id", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer),
        sa.Column("occasion", sa.Text, nullable=False),
        sa.Column("rule", sa.Integer, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", UTC, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", UTC),
        sa.Column("delivered_at", UTC),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_notifications"),
        sa.ForeignKeyConstraint(["promotion_id"], ["ll_promotions.id"], name="fk_ll_notifications_promotion_id"),
        sa.UniqueConstraint("key", name="uq_ll_notifications_key"),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'failed')", name=op.f("ck_ll_notifications_state")),
    )
    op.create_index("ix_ll_notifications_promotion_id", "ll_notifications", ["promotion_id"])
    op.create_index("ix_ll_notifications_state_next_at", "ll_notifications", ["state", "next_at"])
    op.create_table(
        "ll_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("promotion_id", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer),
        sa.Column("at", UTC, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ll_events_promotion_id_id", "ll_events", ["promotion_id", "id"])
    op.create_table(
        "ll_ledger",
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "number", name="pk_ll_ledger"),
    )
    op.create_table(
        "ll_ledger_heads",
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("pipeline", name="pk_ll_ledger_heads"),
    )


def _working() -> None:
    op.create_table(
        "ll_workers",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("expires_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ll_workers"),
    )
    op.create_table(
        "ll_schedules",
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("schedule", sa.Text, nullable=False),
        sa.Column("next_at", UTC, nullable=False),
        sa.PrimaryKeyConstraint("pipeline", "stage", name="pk_ll_schedules"),
    )
