"""Pretrained weights → a Hugging Face directory in the store, hashed, once. Workers read only
that.
"""
