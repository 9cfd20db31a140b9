"""One stage of an AWS CodePipeline, read from CloudFormation and run on this machine."""
