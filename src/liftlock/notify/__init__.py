"""Notifiers: who is told of a promotion, and how. One file per kind; `liftlock.notify.base` is what a kind fulfils."""
