"""Recipes: what makes a CI system promote, written from a pipeline file. The texts are in ``templates/``."""
