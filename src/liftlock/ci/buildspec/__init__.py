"""AWS CodeBuild's buildspec 0.2, run on this machine with CodeBuild's semantics.

`read.read` turns a file into a `model.Buildspec`, or says with file and line what is wrong with it; `run.run` runs it
in given `surroundings.Surroundings` and answers with a `result.BuildResult`.
"""
