"""From the text of a pipeline file to `liftlock.release.pipeline.Pipeline`, with errors that name file and line."""
