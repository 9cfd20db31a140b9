"""What runs inside other people's CI: Docker's command without a daemon, buildspecs, pipeline stages, recipes."""
