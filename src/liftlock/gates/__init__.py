"""Gates: conditions that a machine evaluates. One file per kind; `liftlock.gates.base` is what a kind fulfils."""
