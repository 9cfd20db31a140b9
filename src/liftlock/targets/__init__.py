"""Where images live: registries, OCI layouts and archives, docker archives, memory; all behind `targets.base`."""
