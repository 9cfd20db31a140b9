"""The use-cases: the only thing that the command line calls. Nothing here prints."""
