"""``liftlock-docker``: the part of Docker's command line that old scripts promote images with, without a daemon."""
