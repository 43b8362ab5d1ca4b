"""Bundles as models of transformers: `AutoModelForCausalLM.from_pretrained(bundle)`, and to and from a hub.

`registration` tells transformers of them when `mfn_core` is imported, without importing transformers; the other two
modules are what transformers then finds.
"""
