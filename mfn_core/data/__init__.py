"""Texts: reading them, generating structured ones, mixing, tokenising and packing them."""
