"""Copies images between any two targets: `survey` what is there, `plan` what is missing, `execute` the plan.

    survey(requests, targets, options)   I/O: manifests, tags; with ``exact`` also blobs
      → plan(survey)                     pure: how each image comes; what is mounted, copied; tags, bytes, requests
      → execute(plan, targets, …)        imports, content by digest, attachments, verification, tags, locks last

This room knows nothing of releases; together with `oci`, `transport`, `auth` and `targets` it may be used alone.
Nothing is converted: a manifest arrives with exactly the bytes it had, so digest in is digest out.
"""
